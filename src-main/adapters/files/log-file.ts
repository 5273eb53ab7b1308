/**
 * The node's log: JSON lines in the profile's folder. One older file is kept, so a log never takes more than twice its
 * limit. A line that cannot be written (a full disk) is lost; nothing else is.
 */
import { renameSync, statSync } from 'node:fs'
import pino from 'pino'
import type { Logger } from '#core/ports/logger.ts'

const rotateAtBytes = 5 * 1024 * 1024

/** `level` is a pino level; `debug` shows every session and peer. */
export function openLogFile(file: string, level: string): Logger & { close(): void } {
  if (sizeOf(file) > rotateAtBytes) renameSync(file, `${file}.old`)
  // Written at once: lines are few, and the last ones before a crash are those that matter.
  const destination = pino.destination({ dest: file, mode: 0o600, sync: true, mkdir: true })
  // Without a listener the first failed write would end the process.
  destination.on('error', () => undefined)
  const log = pino(
    { level, base: { processId: process.pid }, serializers: { error: pino.stdSerializers.err } },
    destination,
  )
  return {
    debug: (details, message) => log.debug(details, message),
    info: (details, message) => log.info(details, message),
    warn: (details, message) => log.warn(details, message),
    error: (details, message) => log.error(details, message),
    close: () => destination.end(),
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}
