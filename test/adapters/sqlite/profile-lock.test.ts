import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { acquireProfileLock } from '#adapters/sqlite/profile-lock.ts'

const folder = mkdtempSync(join(tmpdir(), 'quiltbee-lock-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('a profile is held once, and free again after release', () => {
  const file = join(folder, 'a.lock')
  const lock = acquireProfileLock(file, 'alice')
  expect(() => acquireProfileLock(file, 'alice')).toThrow('a node runs on profile alice already')
  lock.release()
  acquireProfileLock(file, 'alice').release()
})

test('a killed process holds nothing any more', async () => {
  const file = join(folder, 'b.lock')
  const module = resolve(import.meta.dirname, '../../../src-main/adapters/sqlite/profile-lock.ts')
  const script = `import { acquireProfileLock } from ${JSON.stringify(module)}
    acquireProfileLock(${JSON.stringify(file)}, 'x')
    setTimeout(() => { gc(); setTimeout(() => process.stdout.write('held'), 10) }, 10)
    setInterval(() => {}, 1000)`
  const holder = spawn(process.execPath, ['--expose-gc', '--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const gone = new Promise((done) => holder.once('close', done))
  try {
    await new Promise((held) => holder.stdout.once('data', held))
    expect(() => acquireProfileLock(file, 'x')).toThrow('already')
  } finally {
    holder.kill('SIGKILL')
    await gone
  }
  acquireProfileLock(file, 'x').release()
})
