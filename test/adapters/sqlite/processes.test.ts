import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { createProcesses, startTicks } from '#adapters/sqlite/processes.ts'

describe('whether the process that left a note is alive', () => {
  const processes = createProcesses()

  it('is true of this process', () => {
    expect(processes.isAlive(processes.self)).toBe(true)
    expect(createProcesses().self).toEqual(processes.self)
  })

  it('is false of an earlier process that had the same id', () => {
    expect(processes.isAlive({ ...processes.self, start: 'an earlier start' })).toBe(false)
  })

  it('is true of a running child and false once it has ended', async () => {
    const script = new URL('../../../src-main/adapters/sqlite/processes.ts', import.meta.url).href
    const code = `const { createProcesses } = await import(${JSON.stringify(script)})
      process.stdout.write(JSON.stringify(createProcesses().self)); setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', code])
    const [self] = await once(child.stdout, 'data')
    const owner = JSON.parse(String(self))
    expect(owner.pid).toBe(child.pid)
    expect(processes.isAlive(owner)).toBe(true)
    child.kill('SIGKILL')
    await once(child, 'close')
    expect(processes.isAlive(owner)).toBe(false)
  })

  it('reads the start time behind a program name with spaces and parentheses', () => {
    const rest = Array.from({ length: 30 }, (_, index) => String(index + 4)).join(' ')
    expect(startTicks(`77 (a) (b c)) S ${rest}`)).toBe('22')
  })
})
