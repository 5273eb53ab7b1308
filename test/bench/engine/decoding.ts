/** Greedy decoding of one or several sessions, all of a step: embedding, blocks, head and the choice of the next token. */
import type { LoadedPatch } from '#core/ports/engine.ts'
import type { LoadedModel } from './compute.ts'

export interface DecodingMember {
  readonly prompt: readonly number[]
  /** Of the model's blocks only. */
  readonly patch?: LoadedPatch
}

export interface Decoding extends Disposable {
  /** What each member has chosen so far, without its prompt. */
  readonly tokens: readonly (readonly number[])[]
  /** One token more for each member. */
  step(): Promise<void>
}

/** Each member's prompt is run by itself, and its first token chosen. */
export async function startDecoding(
  { model, runner, ends }: LoadedModel,
  members: readonly DecodingMember[],
  maxLength: number,
): Promise<Decoding> {
  const { hiddenSize, vocabularySize } = model.manifest.config
  const sessions = members.map(({ patch }) =>
    runner.openSession({ maxLength, ...(patch === undefined ? {} : { patches: [patch] }) }),
  )
  const tokens: number[][] = []

  async function choose(hidden: Float32Array): Promise<number[]> {
    const logits = await ends.logits(hidden)
    return Array.from({ length: hidden.length / hiddenSize }, (_, row) =>
      indexOfLargest(logits.subarray(row * vocabularySize, (row + 1) * vocabularySize)),
    )
  }

  for (const [index, session] of sessions.entries()) {
    const hidden = await session.forward(await ends.embed(members[index]?.prompt ?? []))
    tokens.push(await choose(hidden.subarray(-hiddenSize)))
  }
  return {
    tokens,
    async step() {
      const last = await ends.embed(tokens.map((chosen) => chosen.at(-1) ?? 0))
      const row = (index: number) => last.slice(index * hiddenSize, (index + 1) * hiddenSize)
      const steps = sessions.map((session, index) => ({ session, hidden: row(index) }))
      const hidden = joined(await runner.forward(steps))
      for (const [index, token] of (await choose(hidden)).entries()) tokens[index]?.push(token)
    },
    [Symbol.dispose]() {
      for (const session of sessions) session.dispose()
    },
  }
}

/** `count` tokens for each member. */
export async function greedy(
  model: LoadedModel,
  members: readonly DecodingMember[],
  count: number,
): Promise<readonly (readonly number[])[]> {
  const longest = Math.max(...members.map(({ prompt }) => prompt.length))
  using decoding = await startDecoding(model, members, longest + count)
  for (let i = 1; i < count; i++) await decoding.step()
  return decoding.tokens
}

export function indexOfLargest(values: Float32Array): number {
  let found = 0
  for (let i = 1; i < values.length; i++) if ((values[i] ?? 0) > (values[found] ?? 0)) found = i
  return found
}

function joined(rows: readonly Float32Array[]): Float32Array {
  const all = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0))
  let at = 0
  for (const row of rows) {
    all.set(row, at)
    at += row.length
  }
  return all
}
