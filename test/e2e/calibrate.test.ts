import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { createProcesses } from './processes.ts'

const processes = createProcesses()
afterAll(() => processes.clean())

describe('calibrate', () => {
  test('measures what works here, picks one of it, and keeps both', async () => {
    const home = processes.home()
    const { code, stdout, stderr } = await processes.quiltbee(home, ['calibrate', '--json', '--threads', '1'])
    expect(code).toBe(0)
    expect(stderr).toContain('Measuring onnxruntime-cpu int8')
    const { calibration, choice, backends } = JSON.parse(stdout)
    const measured = calibration.measurements.filter(
      (each: { outcome: { kind: string } }) => each.outcome.kind === 'measured',
    )
    expect(measured.map((each: { backend: string }) => each.backend)).toEqual(
      expect.arrayContaining(['onnxruntime-cpu', 'tfjs-wasm']),
    )
    expect(choice).toMatchObject({ kind: 'chosen', backend: 'onnxruntime-cpu' })
    expect(backends.length).toBe(8)
    expect(JSON.parse(readFileSync(join(home, 'calibration.json'), 'utf8')).calibrations).toEqual([calibration])
  })

  test('tells people in a table what is picked and why, and what is not available', async () => {
    const { code, stdout } = await processes.quiltbee(processes.home(), ['calibrate'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^> {2}onnxruntime-cpu +\w+ +[\d.]+ tokens\/s/m)
    expect(stdout).toMatch(/^Picked onnxruntime-cpu with \w+ weights: it /m)
    expect(stdout).toContain('not available')
  })

  test('refuses a kept file that it cannot read before it spends time, and leaves it alone', async () => {
    const home = processes.home()
    const file = join(home, 'calibration.json')
    writeFileSync(file, '{"formatVersion":9}')
    const { code, stderr } = await processes.quiltbee(home, ['calibrate'])
    expect({ code, named: stderr.includes(file), measured: stderr.includes('Measuring') }).toEqual({
      code: 2,
      named: true,
      measured: false,
    })
    expect(readFileSync(file, 'utf8')).toBe('{"formatVersion":9}')
  })
})
