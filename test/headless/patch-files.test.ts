/** `quiltbee patch` on files: a real profile, the embedded model, no node. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Digest, digestSchema } from '#contracts/digest.ts'
import type { PatchContent } from '#contracts/patch-file/patch.ts'
import { type WrittenPatch, writePatch } from '#contracts/patch-file/write-patch.ts'
import { runCli } from '#headless/cli.ts'
import { exampleDescription, fileOf, signer } from '#test/contracts/patch-file/example-patches.ts'
import { content, delta, factors } from '#test/core/patches/parts.ts'

let home: string
let base: Digest
let whales: WrittenPatch
let ships: WrittenPatch
const path = (name: string) => join(home, name)

/** Runs `quiltbee patch`; what it printed and returned. */
async function quiltbee(...args: string[]) {
  const printed = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      printed[name] += String(text)
      return true
    })
  }
  try {
    return { code: await runCli(args), ...printed }
  } finally {
    vi.restoreAllMocks()
  }
}

const patch = (...args: string[]) => quiltbee('patch', ...args)

async function patchJson(...args: string[]) {
  const { code, stdout, stderr } = await patch(...args, '--json')
  expect(stderr).toBe('')
  expect(code).toBe(0)
  return JSON.parse(stdout)
}

const embedding = (indices: number[], values: number[]) =>
  content({ deltas: [delta('model.embed_tokens.weight', [2048, 128], indices, values)] })

async function written(parts: PatchContent, title: string, parents: Digest[] = []): Promise<WrittenPatch> {
  const description = exampleDescription({ title, parents, base: { digest: base, name: 'seedling' } })
  return await writePatch(parts, description, { signer, valueFormat: 'float32', fisher: false, sharedMask: false })
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'patch-files-test-'))
  vi.stubEnv('QUILTBEE_HOME', home)
  base = digestSchema.parse(JSON.parse((await quiltbee('model', 'list', '--json')).stdout)[0].digest)
  whales = await written(embedding([0, 5, 9], [1, 2, -2]), 'Whales')
  ships = await written(embedding([5, 9, 11], [2, 2, 1]), 'Ships \u001b[31m', [whales.digest])
  await writeFile(path('whales.qbpatch'), fileOf(whales))
  await writeFile(path('ships.qbpatch'), fileOf(ships))
  const lora = content({ factors: [factors('model.layers.0.self_attn.q_proj.weight', [128, 128], 1)] })
  await writeFile(path('lora.qbpatch'), fileOf(await written(lora, 'Low rank')))
})

afterAll(async () => {
  vi.unstubAllEnvs()
  await rm(home, { recursive: true, force: true })
})

describe('a patch file', () => {
  it('is inspected in words and as JSON', async () => {
    const { code, stdout } = await patch('inspect', path('whales.qbpatch'))
    expect(code).toBe(0)
    expect(stdout).toContain('Whales')
    expect(stdout).toContain(`seedling (${base.slice(0, 8)})`)
    expect(stdout).toMatch(/held-out-loss \(nats\/token\) +3\.5 +3\.25 +0\.25 \(0\.125 to 0\.375\)/)
    const said = await patchJson('inspect', path('whales.qbpatch'))
    expect(said).toMatchObject({ digest: whales.digest, header: JSON.parse(JSON.stringify(whales.header)) })
  })

  it('cannot steer the terminal', async () => {
    const { stdout } = await patch('inspect', path('ships.qbpatch'))
    expect(stdout).toContain('Ships ?[31m')
  })

  it('is verified to its last byte, and against its base', async () => {
    expect(await patchJson('verify', path('whales.qbpatch'))).toMatchObject({
      digest: whales.digest,
      base: 'fits',
      entries: 3,
    })
    const bytes = fileOf(whales)
    await writeFile(path('changed.qbpatch'), bytes.with(bytes.length - 1, (bytes.at(-1) ?? 0) ^ 1))
    const { code, stderr } = await patch('verify', path('changed.qbpatch'), '--json')
    expect(code).toBe(3)
    expect(JSON.parse(stderr)).toMatchObject({ error: { code: 'patch-format' } })
  })

  it('is refused when it is none, or not there', async () => {
    await writeFile(path('notes.txt'), 'not a patch')
    const none = await patch('verify', path('notes.txt'))
    expect([none.code, none.stderr]).toEqual([3, 'error: head: cut short after 11 bytes\n'])
    expect((await patch('inspect', path('nothing.qbpatch'))).code).toBe(2)
    expect((await patch('inspect', 'deadbeef')).code).toBe(3)
    expect((await patch('inspect', 'deadbeef', '--profile', 'misspelt')).code).toBe(2)
  })

  it('is shown tensor by tensor, and set against another', async () => {
    const shown = await patchJson('show', path('whales.qbpatch'))
    expect(shown.tensors).toEqual([
      { tensor: 'model.embed_tokens.weight', kind: 'delta', entries: 3, size: 262_144, norm: 3, largest: 2 },
    ])
    const diff = await patchJson('diff', path('whales.qbpatch'), path('ships.qbpatch'))
    expect(diff).toMatchObject({ sameBase: true, overlap: 2 / 3, signConflicts: 1, cosine: 0 })
    expect((await patch('diff', path('whales.qbpatch'), path('ships.qbpatch'))).stdout).toMatch(/^Overlap 66\.7 % of/)
  })
})

describe('the library', () => {
  it('takes files in, and knows them by prefix', async () => {
    const taken = await patchJson('import', path('whales.qbpatch'))
    expect(taken).toMatchObject({ digest: whales.digest, title: 'Whales', warnings: [] })
    expect((await patchJson('inspect', whales.digest.slice(0, 10))).digest).toBe(whales.digest)
  })

  it('has the ancestors of a file that is not in it', async () => {
    await patch('import', path('whales.qbpatch'))
    const log = await patchJson('log', path('ships.qbpatch'))
    expect(log.map(({ digest, title }: { digest: string; title: string }) => [digest, title])).toEqual([
      [ships.digest, 'Ships \u001b[31m'],
      [whales.digest, 'Whales'],
    ])
    expect((await patch('log', path('ships.qbpatch'))).stdout).toContain('Ships ?[31m')
  })

  it('gives files back as they were', async () => {
    await patch('import', path('whales.qbpatch'))
    const { bytes } = await patchJson('export', whales.digest.slice(0, 8), '--out', path('back.qbpatch'))
    expect(bytes).toBe(whales.byteLength)
    expect(new Uint8Array(await readFile(path('back.qbpatch')))).toEqual(fileOf(whales))
    expect((await patch('export', whales.digest, '--out', path('back.qbpatch'))).code).toBe(2)
  })
})

describe('other programs’ files', () => {
  it('are made of a patch, and taken in again with a word about their base', async () => {
    await patchJson('export', path('lora.qbpatch'), '--format', 'peft', '--out', path('adapter'))
    expect((await patch('import', path('adapter'))).code).toBe(2)
    const { stdout, code } = await patch('import', path('adapter'), '--model', 'seedling')
    expect(code).toBe(0)
    expect(stdout).toMatch(
      /^Note: the adapter names its base seedling, and no digest: .*\nImported adapter \([0-9a-f]{8}\)/,
    )
    const converted = await patchJson(
      'import',
      path('adapter'),
      '--model',
      'seedling',
      '--out',
      path('converted.qbpatch'),
    )
    const [shown, before] = [
      await patchJson('show', path('converted.qbpatch')),
      await patchJson('show', path('lora.qbpatch')),
    ]
    expect(shown).toMatchObject({ digest: converted.digest, header: { origin: 'import', licence: 'NOASSERTION' } })
    expect(shown.tensors).toEqual(before.tensors)
  })

  it('have no form for some patches, and that is said', async () => {
    const { code, stderr } = await patch('export', path('whales.qbpatch'), '--format', 'peft', '--out', path('no'))
    expect(code).toBe(2)
    expect(stderr).toContain('PEFT has no form for sparse changes')
    expect(
      (await patchJson('export', path('whales.qbpatch'), '--format', 'sparse', '--out', path('whales.safetensors')))
        .bytes,
    ).toBeGreaterThan(0)
  })

  it('are whole models with patches in their weights, which can be imported', async () => {
    const out = path('patched')
    const said = await patchJson(
      'apply',
      path('whales.qbpatch'),
      path('lora.qbpatch'),
      '--model',
      'seedling',
      '--out',
      out,
    )
    expect(said).toMatchObject({ path: out, importable: true })
    const imported = await quiltbee('model', 'import', out, '--json')
    expect(imported.code).toBe(0)
    expect(JSON.parse(imported.stdout)).toMatchObject({ name: 'patched' })
    const other = await patch('apply', path('whales.qbpatch'), '--model', 'patched', '--out', path('twice'))
    expect([other.code, other.stderr]).toEqual([3, expect.stringContaining('the patch is for base')])
  })

  it('are not written into a folder that is not there', async () => {
    await mkdir(path('there'))
    expect((await patch('export', path('whales.qbpatch'), '--out', path('not/there'))).code).toBe(2)
    expect((await patch('apply', path('whales.qbpatch'), '--model', 'seedling', '--out', path('there'))).code).toBe(2)
  })
})
