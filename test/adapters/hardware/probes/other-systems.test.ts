import { describe, expect, it } from 'vitest'
import { cpuOf, parsePmset, parseSysctl, parseSystemProfiler } from '#adapters/hardware/probes/macos.ts'
import { parseNvidiaSmi } from '#adapters/hardware/probes/nvidia-smi.ts'
import * as systemInformation from '#adapters/hardware/probes/system-information.ts'
import { parseWindows } from '#adapters/hardware/probes/windows.ts'
import { gibibyte, mebibyte, recorded } from '../recorded.ts'

describe('nvidia-smi', () => {
  it('lists two equal cards by their slots', () => {
    const cards = parseNvidiaSmi(recorded('nvidia-smi/two-rtx-4090.csv'))
    expect(cards.map((card) => card.pciAddress)).toEqual(['0000:01:00.0', '0000:41:00.0'])
    expect(cards[0]).toMatchObject({ memoryBytes: 24_564 * mebibyte, driver: '560.35.03' })
  })

  it('has no memory to tell where it is shared with the processor', () => {
    expect(parseNvidiaSmi(recorded('nvidia-smi/unified-gb10.csv'))).toMatchObject([
      { model: 'NVIDIA GB10', memoryBytes: null },
    ])
  })

  it('lists nothing when it only complains', () => {
    expect(parseNvidiaSmi(recorded('nvidia-smi/no-driver.txt'))).toEqual([])
    expect(parseNvidiaSmi('No devices were found\n')).toEqual([])
    expect(parseNvidiaSmi(null)).toEqual([])
  })
})

describe('Windows', () => {
  it('takes memory from the registry, because AdapterRAM ends below 4 GiB', () => {
    const { gpus } = parseWindows(recorded('windows/desktop-rtx-4090.json'))
    expect(gpus?.[0]).toMatchObject({ memoryBytes: 25_757_220_864, pciId: '10de:2684', driver: '32.0.15.6094' })
  })

  it('does not know the memory when the registry is silent and AdapterRAM at its ceiling', () => {
    expect(parseWindows(recorded('windows/registry-silent.json')).gpus?.[0]).toMatchObject({ memoryBytes: null })
  })

  it('reads single objects where a list was left out, and sizes stored as bytes', () => {
    const { gpus, battery } = parseWindows(recorded('windows/laptop-on-battery.json'))
    expect(gpus).toMatchObject([{ vendor: 'Intel', memoryBytes: 128 * mebibyte }])
    expect(battery).toEqual({ onBattery: true, charging: false, percent: 64 })
  })

  it.each([
    [2, false, null],
    [3, false, false],
    [5, true, false],
    [7, false, true],
    [10, false, null],
  ])('understands battery status %i', (status, onBattery, charging) => {
    const text = JSON.stringify({ battery: [{ BatteryStatus: status, EstimatedChargeRemaining: 10 }] })
    expect(parseWindows(text).battery).toEqual({ onBattery, charging, percent: 10 })
  })
})

describe('macOS', () => {
  it('reads the processor of an Intel Mac', () => {
    expect(cpuOf(parseSysctl(recorded('macos/sysctl-intel.txt')))).toEqual({
      model: 'Intel(R) Core(TM) i7-8850H CPU @ 2.60GHz',
      physicalCores: 6,
      simd: ['sse', 'sse2', 'ssse3', 'fma', 'sse4.1', 'sse4.2', 'avx1.0', 'f16c', 'avx2'],
    })
  })

  it('reads cards with memory of their own and shared', () => {
    const cards = parseSystemProfiler(recorded('macos/system-profiler-intel.json'), 32 * gibibyte)
    expect(cards.map(({ vendor, memoryBytes }) => [vendor, memoryBytes])).toEqual([
      ['Intel', 1536 * mebibyte],
      ['AMD', 4 * gibibyte],
    ])
  })

  it("gives Apple's chips the machine's memory, or nothing when that is unknown", () => {
    const text = recorded('macos/system-profiler-m2.json')
    expect(parseSystemProfiler(text, 16 * gibibyte)[0]?.memoryBytes).toBe(16 * gibibyte)
    expect(parseSystemProfiler(text, null)[0]?.memoryBytes).toBeNull()
  })

  it.each([
    ['on-battery', { onBattery: true, charging: false, percent: 83 }],
    ['charged', { onBattery: false, charging: false, percent: 100 }],
    ['charging', { onBattery: false, charging: true, percent: 41 }],
    ['desktop', null],
  ])('reads pmset when %s', (name, battery) => {
    expect(parsePmset(recorded(`macos/pmset-${name}.txt`))).toEqual(battery)
  })
})

describe('systeminformation', () => {
  it('does not pass on the size of a memory window as memory', () => {
    const { controllers } = JSON.parse(recorded('systeminformation/graphics-linux-hybrid.json'))
    const cards = controllers.map((card: Record<string, unknown>) => systemInformation.gpuOf(card, 'linux'))
    expect(cards.map((card: { memoryBytes: number }) => card.memoryBytes)).toEqual([null, 24_564 * mebibyte, null])
  })

  it('does not pass on the 4 GiB at which Windows stops counting', () => {
    const { controllers } = JSON.parse(recorded('systeminformation/graphics-windows-4090.json'))
    expect(systemInformation.gpuOf(controllers[0], 'win32').memoryBytes).toBeNull()
  })

  it('takes 0 and empty for not known', () => {
    expect(systemInformation.cpuOf({ manufacturer: '', brand: '', physicalCores: 0 }, '')).toEqual({
      model: null,
      physicalCores: null,
      simd: null,
    })
    expect(systemInformation.batteryOf({ hasBattery: false, percent: 0 })).toBeNull()
  })

  it('names the maker once', () => {
    expect(systemInformation.cpuOf({ manufacturer: 'AMD', brand: 'EPYC' }, '').model).toBe('AMD EPYC')
    expect(systemInformation.cpuOf({ manufacturer: 'Apple', brand: 'Apple M2' }, '').model).toBe('Apple M2')
  })
})
