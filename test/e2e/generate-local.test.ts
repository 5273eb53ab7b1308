import { cpSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { hasShared, sharedPath } from '#test/helpers/shared.ts'
import { createProcesses } from './processes.ts'

const processes = createProcesses()
afterAll(() => processes.clean())

/** As its author published it (shared/models/README.md), line breaks put back where the model makes them. */
const published =
  'Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, she saw a ' +
  'big, red ball. She wanted to play with it, but it was too high.'

describe.skipIf(!hasShared('models/stories260K'))('a published model on this machine alone', () => {
  test('is imported, and continues an empty prompt with the text its author published', async () => {
    const home = processes.home()
    const imported = await processes.quiltbee(home, ['model', 'import', sharedPath('models/stories260K'), '--json'])
    expect(imported).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(imported.stdout)).toMatchObject({ name: 'stories260K', config: { blockCount: 5 } })

    const generated = await processes.quiltbee(home, [
      ...['generate', '--local', '--model', 'stories260K', '--temperature', '0', '--max-tokens', '64', '--prompt', ''],
    ])
    expect(generated.stdout.startsWith(published)).toBe(true)
    expect(generated).toMatchObject({ code: 0, stderr: '' })
  })

  test('records its own use in a ledger that verifies', async () => {
    const home = processes.home()
    await processes.quiltbee(home, ['model', 'import', sharedPath('models/stories260K')])
    await processes.quiltbee(home, ['generate', '--local', '--model', 'stories260K', '--max-tokens', '8'])
    const list = JSON.parse((await processes.quiltbee(home, ['ledger', 'list', '--json'])).stdout)
    expect(list.rows).toMatchObject([
      { kind: 'used', self: true, span: { start: 0, end: 5 }, tokensIn: 1, tokensOut: 7 },
    ])
    const verified = await processes.quiltbee(home, ['ledger', 'verify', '--json'])
    expect(JSON.parse(verified.stdout)).toMatchObject({ kind: 'intact', entries: 1 })
  })
})

describe('the embedded model', () => {
  test('needs no import', async () => {
    const home = processes.home()
    const generated = await processes.quiltbee(home, [
      'generate',
      '--local',
      '--max-tokens',
      '8',
      '--seed',
      '7',
      '--json',
    ])
    expect(generated.code).toBe(0)
    expect(JSON.parse(generated.stdout)).toMatchObject({ type: 'end', reason: 'length', tokens: 8, seed: 7 })
  })
})

describe('the command line', () => {
  test('says what is wrong in one sentence, without a stack, and with an exit code', async () => {
    const home = processes.home()
    const missing = await processes.quiltbee(home, ['generate', '--local', '--model', 'nobody-has-this'])
    expect(missing).toEqual({ code: 3, stdout: '', stderr: 'error: no model called nobody-has-this\n' })
    const wrong = await processes.quiltbee(home, ['generate', '--max-tokens', 'many'])
    expect(wrong.code).toBe(2)
    expect(wrong.stderr).toContain('Expected a whole number from 1 to 100000.')
    expect(wrong.stderr).not.toMatch(/\n\s+at /)
    const nowhere = await processes.quiltbee(home, ['generate', '--bootstrap', 'garbage'])
    expect(nowhere.code).toBe(2)
    expect(nowhere.stderr).toBe('error: bootstrap: garbage is not a multiaddr such as /ip4/127.0.0.1/tcp/4001\n')
    const nobody = await processes.quiltbee(home, ['ledger', 'verify', '--profile', 'nobody', '--json'])
    expect(nobody.code).toBe(2)
    expect(JSON.parse(nobody.stderr)).toMatchObject({ error: { code: 'invalid-input', params: { where: 'profile' } } })
  })

  test('names what is wrong with a model file, and keeps nothing of it', async () => {
    const home = processes.home()
    const folder = join(home, 'evil')
    cpSync(resolve(import.meta.dirname, '../../resources/models/seedling'), folder, { recursive: true })
    const claims = Buffer.alloc(64)
    claims.writeBigUInt64LE(2n ** 60n)
    writeFileSync(join(folder, 'model.safetensors'), claims)
    const imported = await processes.quiltbee(home, ['model', 'import', folder, '--json'])
    expect(imported.code).toBe(3)
    const { error } = JSON.parse(imported.stderr)
    expect(error).toMatchObject({
      code: 'model-format',
      params: { where: expect.stringContaining('model.safetensors') },
    })
    const list = await processes.quiltbee(home, ['model', 'list', '--json'])
    expect(JSON.parse(list.stdout)).toMatchObject([{ name: 'seedling' }])
  })

  test.each([[['--help']], [['up', '--help']], [['model', 'import', '--help']], [['ledger', 'verify', '--help']]])(
    'explains itself: %s',
    async (args) => {
      const help = await processes.quiltbee(processes.home(), args)
      expect(help.code).toBe(0)
      expect(help.stdout).toContain('Usage: quiltbee')
    },
  )

  test('shows the machine as JSON, with null for what it cannot see', async () => {
    const detected = await processes.quiltbee(processes.home(), ['detect', '--json'])
    expect(detected.code).toBe(0)
    expect(JSON.parse(detected.stdout)).toMatchObject({ cpu: { logicalCores: expect.any(Number) } })
    expect(detected.stdout).not.toContain('NaN')
  })
})
