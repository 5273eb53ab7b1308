import type { ModelConfig } from '#contracts/model/manifest.ts'
import { formatSpan, type Span, spanCovers } from '#contracts/span.ts'
import { ContextTooLongError } from '#core/errors.ts'
import type { SpanRunner } from '#core/ports/engine.ts'
import type { LoadedBlock } from './loaded-block.ts'
import { EngineMisuseError } from './misuse.ts'
import { createSpanSession, type TrackedSession } from './span-session.ts'

/** Loaded blocks as the port's runner. `blocks[0]` is block `span.start`. Owns the blocks: disposing frees them. */
export function createSpanRunner(config: ModelConfig, span: Span, blocks: readonly LoadedBlock[]): SpanRunner {
  const sessions = new Set<TrackedSession>()
  let disposal: Promise<void> | null = null

  /** Sessions first: a call under way ends before the weights under it are freed. */
  async function disposeAll(): Promise<void> {
    const open = [...sessions]
    for (const session of open) session.dispose()
    await Promise.all(open.map((session) => session.idle()))
    await Promise.all(blocks.map((block) => block.dispose()))
  }

  return {
    span,
    weightBytes: blocks.reduce((sum, block) => sum + block.weightBytes, 0),
    openSession({ maxLength, span: wanted = span }) {
      if (disposal) throw new EngineMisuseError('the runner is disposed')
      checkRequest(config, span, { maxLength, span: wanted })
      const session = createSpanSession({
        span: wanted,
        maxLength,
        hiddenSize: config.hiddenSize,
        blocks: blocks.slice(wanted.start - span.start, wanted.end - span.start),
        onDispose: () => sessions.delete(session),
      })
      sessions.add(session)
      return session
    },
    dispose() {
      disposal ??= disposeAll()
      return disposal
    },
  }
}

function checkRequest(config: ModelConfig, loaded: Span, wanted: { maxLength: number; span: Span }): void {
  const { maxLength, span } = wanted
  if (!Number.isInteger(maxLength) || maxLength < 1) throw new RangeError(`a session of ${maxLength} positions`)
  if (maxLength > config.contextLength) throw new ContextTooLongError(maxLength, config.contextLength)
  if (!spanCovers(loaded, span) || span.start >= span.end) {
    throw new RangeError(`blocks ${formatSpan(span)} asked of ${formatSpan(loaded)}`)
  }
}
