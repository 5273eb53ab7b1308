/**
 * Holding a process still from outside, native code included: SIGSTOP, and SIGCONT to go on.
 *
 * A stopped process notices nothing, not even that its parent is gone, and then it would keep its memory for ever. The
 * kernel frees only some: when a parent's end leaves a process group without any connection to the rest of its session, a
 * stopped member is sent SIGHUP and SIGCONT; not so in a group that had none to begin with (a service, a container) or that
 * keeps one (a node that `npm` or a script started). So a shell waits beside, for the end of a pipe that this process holds
 * open for as long as it lives: it lets the stopped one go on, whose guard (`orphan-guard.ts`) then ends it. Without that
 * shell nothing is stopped.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Suspender } from './channel.ts'

/** Windows has no such signals. */
export const canSuspend = process.platform !== 'win32'

/** Told to end with the rest of a service it stays, until there is nobody left who could stop anything. */
const untilParentEnds = 'trap "" HUP INT TERM; read -r line; kill -s CONT "$0"'

/** Null for a child that could not be started, and where `canSuspend` is false. */
export function startSuspender(child: ChildProcess): Suspender | null {
  if (!canSuspend || child.pid === undefined) return null
  // In a session of its own a terminal neither ends nor stops it.
  const shell = spawn('/bin/sh', ['-c', untilParentEnds, String(child.pid)], {
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  shell.unref()
  ;(shell.stdin as Socket | null)?.unref()
  let isWatched = shell.pid !== undefined
  let isSuspended = false

  function resume(): void {
    if (!isSuspended) return
    isSuspended = false
    child.kill('SIGCONT')
  }
  function unwatched(): void {
    isWatched = false
    resume()
  }

  shell.once('error', unwatched)
  shell.once('exit', unwatched)
  child.once('exit', () => shell.kill('SIGKILL'))
  return {
    suspend() {
      if (isWatched && !isSuspended) isSuspended = child.kill('SIGSTOP')
    },
    resume,
  }
}
