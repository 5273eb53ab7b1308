import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createScratchLedger, type ScratchLedger } from './scratch-ledger.ts'

const script = join(import.meta.dirname, 'append-forever.ts')
let ledger: ScratchLedger
const children: ChildProcess[] = []

beforeEach(() => {
  ledger = createScratchLedger()
})

afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await ledger.remove()
})

/** Acknowledged sequence numbers as they come. */
function append(times?: number) {
  const child = spawn(process.execPath, [script, ledger.file, ...(times === undefined ? [] : [String(times)])], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  return { child, lines: createInterface({ input: child.stdout }) }
}

async function killAfter(acknowledged: number): Promise<number> {
  const { child, lines } = append()
  let last = -1
  let seen = 0
  for await (const line of lines) {
    last = Number(line)
    seen += 1
    if (seen === acknowledged) child.kill('SIGKILL')
  }
  return last
}

it('loses no acknowledged entry to kill -9, and stays whole', async () => {
  for (const acknowledged of [1, 7, 20]) {
    const last = await killAfter(acknowledged)
    const store = ledger.open()
    await store.recover()
    const verdict = await ledger.verdict(store)
    expect(verdict.kind === 'intact' && verdict.entries).toBeGreaterThan(last)
    await store.close()
  }
})

it('chains the entries of two processes that append at once', async () => {
  const both = [append(25), append(25)]
  const acknowledged: number[] = []
  for (const { lines } of both) lines.on('line', (line) => acknowledged.push(Number(line)))
  const exits = await Promise.all(both.map(({ child }) => once(child, 'close')))
  expect(exits).toEqual([
    [0, null],
    [0, null],
  ])
  expect(acknowledged.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, index) => index))
  const store = ledger.open()
  expect(await store.head()).toMatchObject({ sequence: 49 })
  expect(await ledger.verdict(store)).toMatchObject({ kind: 'intact', entries: 50 })
  // Each process ended normally but left the note of a session that never became an entry.
  expect(await store.recover()).toBe(2)
})
