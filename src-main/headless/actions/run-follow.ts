/** Following a run to its end, in a terminal. */
import type { RunDetail } from '#contracts/api/training.ts'
import { exitCodeFor, exitCodes, print, printJson } from '../output.ts'
import { describeProgress, describeResult, describeState, shortId } from '../run-text.ts'
import type { TrainingService } from '../training-service.ts'

export interface FollowOptions {
  readonly json?: true
  readonly events?: true
}

/**
 * Shows the run until it is at rest, then what came of it. -> exit code. After Ctrl-C a node goes on with the run, and this
 * process, which carries it out itself, pauses it.
 */
export async function followRun(
  service: TrainingService,
  id: string,
  options: FollowOptions,
  signal: AbortSignal,
): Promise<{ readonly run: RunDetail | null; readonly code: number }> {
  const line = createLine()
  let run: RunDetail | null = null
  try {
    for await (const detail of service.watch(id, signal)) {
      run = detail
      if (options.events) printJson(detail)
      else line.show(describeProgress(detail))
      if (!isUnderWay(detail)) break
    }
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    line.end()
  }
  if (signal.aborted && (run === null || isUnderWay(run))) return { run, code: await leave(service, id) }
  return { run, code: tell(run, options) }
}

function isUnderWay({ state }: RunDetail): boolean {
  return state.kind === 'waiting' || state.kind === 'running'
}

async function leave(service: TrainingService, id: string): Promise<number> {
  if (service.where === 'here') await service.act(id, 'pause')
  const said =
    service.where === 'node'
      ? `The run goes on in the node: "quiltbee run show ${shortId(id)}" shows how far it is, "quiltbee run stop ${shortId(id)}" ends it.`
      : `The run is paused: "quiltbee run resume ${shortId(id)}" goes on.`
  process.stderr.write(`${said}\n`)
  return exitCodes.cancelled
}

function tell(run: RunDetail | null, { json, events }: FollowOptions): number {
  if (run === null) {
    process.stderr.write('The run was removed.\n')
    return exitCodes.cancelled
  }
  if (json) printJson(run)
  if (run.state.kind === 'finished') {
    if (!json && !events) print(describeResult(run))
    return exitCodes.success
  }
  process.stderr.write(
    `${run.state.kind === 'failed' ? 'error: ' : ''}run ${shortId(run.id)} ${describeState(run.state)}\n`,
  )
  return run.state.kind === 'failed' ? exitCodeFor(run.state.code) : exitCodes.cancelled
}

/** One line that is written over, when stderr is a terminal; elsewhere nothing, so that logs stay readable. */
function createLine(stream: NodeJS.WriteStream = process.stderr) {
  let shown = ''
  return {
    show(text: string): void {
      if (!stream.isTTY || text === shown) return
      const fitting = text.slice(0, Math.max(20, (stream.columns ?? 80) - 1))
      stream.write(`${shown === '' ? '' : '\r\x1b[K'}${fitting}`)
      shown = text
    },
    end(): void {
      if (shown !== '') stream.write('\n')
      shown = ''
    },
  }
}
