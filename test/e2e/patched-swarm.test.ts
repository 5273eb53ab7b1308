import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import type { RunDetail } from '#contracts/api/training.ts'
import { createProcesses, type Processes, type RunningNode } from './processes.ts'

let processes: Processes
afterEach(() => processes.clean())

const lines = Array.from({ length: 60 }, (_, i) => `Song ${i}: the river and the boat, the boat and the river, ${i}.`)
const training = ['--method', 'random', '--steps', '8', '--batch-size', '2', '--sequence-length', '32', '--seed', '1']
const request = ['generate', '--prompt', 'The Congress', '--temperature', '0', '--max-tokens', '24']

/** -> the digest of a patch trained in `home`, and its file */
async function trainIn(home: string): Promise<{ digest: string; file: string }> {
  const [text, file] = [join(home, 'songs.txt'), join(home, 'songs.qbpatch')]
  writeFileSync(text, lines.join('\n\n'))
  const rate = ['--learning-rate', '0.1']
  const args = ['patch', 'train', '--data', text, '--title', 'Songs', ...training, ...rate, '--out', file, '--json']
  const trained = await processes.quiltbee(home, args)
  expect(trained).toMatchObject({ code: 0 })
  const { result } = JSON.parse(trained.stdout) as RunDetail
  return { digest: result?.patch ?? '', file }
}

async function textOf(home: string, args: readonly string[]): Promise<string> {
  const made = await processes.quiltbee(home, [...request, ...args])
  expect(made).toMatchObject({ code: 0 })
  return made.stdout
}

test('hosts that lack a patch fetch it and give the text of one machine', { timeout: 120_000 }, async () => {
  processes = createProcesses()
  const author = processes.home()
  const { digest, file } = await trainIn(author)
  const plain = await textOf(author, ['--local'])
  const patched = await textOf(author, ['--local', '--patch', digest])
  expect(patched).not.toBe(plain)

  const seed = await processes.up(author, ['--blocks', '0:1'])
  const known = ['--bootstrap', seed.address]
  const first = await processes.up(processes.home(), ['--blocks', '0:4', ...known])
  await processes.up(processes.home(), ['--blocks', '4:8', ...known])
  expect(await processes.quiltbee(author, ['patch', 'publish', digest])).toMatchObject({ code: 0 })

  const client = processes.home()
  const route = ['--bootstrap', seed.address]
  expect(await textOf(client, ['--patch', file, ...route])).toBe(patched)
  expect(await textOf(client, [...route])).toBe(plain)
  expect(await patchesOf(first)).toEqual([digest])
})

test('a text with a patch that no host can have says so', { timeout: 120_000 }, async () => {
  processes = createProcesses()
  const author = processes.home()
  const { digest } = await trainIn(author)
  const host = await processes.up(processes.home(), [])
  const made = await processes.quiltbee(author, [...request, '--patch', digest, '--bootstrap', host.address])
  expect(made).toMatchObject({ code: 4, stdout: '' })
  expect(made.stderr).toContain('unknown-patch')
})

async function patchesOf({ home }: RunningNode): Promise<string[]> {
  const listed = await processes.quiltbee(home, ['patch', 'list', '--json'])
  const { patches } = JSON.parse(listed.stdout) as { patches: { digest: string }[] }
  return patches.map((patch) => patch.digest)
}
