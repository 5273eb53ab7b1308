import { describe, expect, it } from 'vitest'
import { isForCompute, mergeGpus, pciAddressOf, pciIdOf, vendorOf } from '#adapters/hardware/gpus.ts'
import type { GpuSighting } from '#adapters/hardware/sighting.ts'

const card = (changes: Partial<GpuSighting>): GpuSighting => ({
  vendor: 'NVIDIA',
  model: 'GeForce RTX 4090',
  memoryBytes: null,
  driver: null,
  source: 'one',
  pciAddress: null,
  pciId: null,
  ...changes,
})

describe('PCI names', () => {
  it.each([
    ['00000000:01:00.0', '0000:01:00.0'],
    ['0000000F:01:00.0', '000f:01:00.0'],
    ['0000:C1:00.0', '0000:c1:00.0'],
    ['01:00.0', '0000:01:00.0'],
    ['[N/A]', null],
    ['01:00.9', null],
    [undefined, null],
  ])('the address %s is %s', (text, address) => {
    expect(pciAddressOf(text)).toBe(address)
  })

  it('ids are four hexadecimal digits each', () => {
    expect(pciIdOf('0x10DE\n', '2684')).toBe('10de:2684')
    expect(pciIdOf('0x10de', null)).toBeNull()
    expect(pciIdOf('0x10de0', '2684')).toBeNull()
  })

  it('vendors are called by their usual name', () => {
    expect(vendorOf('1002:744c')).toBe('AMD')
    expect(vendorOf(null, 'Advanced Micro Devices, Inc. [AMD/ATI]')).toBe('AMD')
    expect(vendorOf(null, 'sppci_vendor_Apple')).toBe('Apple')
    expect(vendorOf(null, 'Moore Threads')).toBe('Moore Threads')
    expect(vendorOf('1ed5:0200', null)).toBeNull()
  })
})

describe('merging cards', () => {
  it('keeps two equal cards of one list apart, and finds both again in the next', () => {
    const merged = mergeGpus([
      [card({ pciAddress: '0000:01:00.0', memoryBytes: 1 }), card({ pciAddress: '0000:02:00.0', memoryBytes: 2 })],
      [card({ source: 'two', driver: 'a' }), card({ source: 'two', driver: 'b' })],
    ])
    expect(merged.map(({ memoryBytes, driver }) => [memoryBytes, driver])).toEqual([
      [1, 'a'],
      [2, 'b'],
    ])
  })

  it('lets the more specific reading stand', () => {
    const [merged] = mergeGpus([[card({ memoryBytes: 24 })], [card({ memoryBytes: 4, driver: '5', source: 'two' })]])
    expect(merged).toMatchObject({ memoryBytes: 24, driver: '5', source: 'one + two' })
  })

  it('knows a model by its name, however its maker is written', () => {
    const one = card({ model: 'NVIDIA GeForce RTX 4090' })
    expect(mergeGpus([[one], [card({ model: 'GeForce(R) RTX 4090', source: 'two' })]])).toHaveLength(1)
    expect(mergeGpus([[one], [card({ model: 'GeForce RTX 4090 D' })]])).toHaveLength(2)
  })

  it('does not take an unnamed card for another unnamed card', () => {
    expect(mergeGpus([[card({ model: null })], [card({ model: null })]])).toHaveLength(2)
  })
})

describe('what counts as a card for compute', () => {
  it.each([
    'llvmpipe (LLVM 15.0.7, 256 bits)',
    'Microsoft Basic Display Adapter',
    'Microsoft Remote Display Adapter',
    'Microsoft Hyper-V Video',
    'Red Hat VirtIO GPU DOD controller',
    'QXL paravirtual graphic card',
    'VMware SVGA 3D',
    'VirtualBox Graphics Adapter (WDDM)',
    'Parallels Display Adapter (WDDM)',
    'Parsec Virtual Display Adapter',
    'ASPEED Graphics Family',
    'Matrox G200eW3',
  ])('not %s', (model) => {
    expect(isForCompute(card({ vendor: null, model }))).toBe(false)
  })

  it.each([
    'NVIDIA GeForce RTX 4090',
    'AMD Radeon(TM) Graphics',
    'Intel(R) Iris(R) Xe Graphics',
    'Apple M2',
    'Intel(R) Arc(TM) A770 Graphics',
    'NVIDIA A100-SXM4-80GB',
    'AMD Instinct MI300X',
  ])('%s', (model) => {
    expect(isForCompute(card({ model }))).toBe(true)
  })

  it('not a device whose maker only emulates', () => {
    expect(isForCompute(card({ vendor: null, model: null, pciId: '1af4:1050' }))).toBe(false)
  })
})
