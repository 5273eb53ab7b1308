import { describe, expect, it } from 'vitest'
import { parseCgroup, parseMembership } from '#adapters/hardware/probes/linux-cgroup.ts'
import { parseDrmFiles } from '#adapters/hardware/probes/linux-drm.ts'
import { batteryOf, type PowerSupply } from '#adapters/hardware/probes/linux-power-supply.ts'
import { parseCpuinfo, parseMeminfo } from '#adapters/hardware/probes/linux-proc.ts'
import { gibibyte, mebibyte, recorded } from '../recorded.ts'

describe('/proc/cpuinfo', () => {
  it('counts cores, not threads', () => {
    expect(parseCpuinfo(recorded('linux/cpuinfo-ryzen-5800x.txt'))).toMatchObject({ physicalCores: 8 })
  })

  it('names the vector features of a server processor, and nothing else', () => {
    const { model, physicalCores, simd } = parseCpuinfo(recorded('linux/cpuinfo-epyc-vm.txt'))
    expect([model, physicalCores]).toEqual(['AMD EPYC', 2])
    expect(simd).toEqual(expect.arrayContaining(['sse2', 'avx2', 'fma', 'avx512f', 'avx512_vnni']))
    expect(simd).not.toContain('fpu')
  })

  it('does not take memory encryption for the matrix extension of Arm', () => {
    expect(parseCpuinfo(recorded('linux/cpuinfo-ryzen-5800x.txt')).simd).not.toContain('sme')
  })

  it('reads a board that tells no cores', () => {
    expect(parseCpuinfo(recorded('linux/cpuinfo-raspberry-pi-4.txt'))).toEqual({
      model: 'Raspberry Pi 4 Model B Rev 1.4',
      physicalCores: null,
      simd: ['asimd'],
    })
  })
})

describe('/proc/meminfo', () => {
  it('is in KiB', () => {
    expect(parseMeminfo(recorded('linux/meminfo-24g.txt')).totalBytes).toBe(24_684_092 * 1024)
  })

  it('is null where it says nothing', () => {
    expect(parseMeminfo('MemTotal: many kB\n')).toEqual({ totalBytes: null, availableBytes: null })
  })
})

describe('control groups', () => {
  it('are read from the own group up to the root', () => {
    const paths = parseMembership(recorded('linux/cgroup-v2-systemd.txt')).map(({ path }) => path)
    expect(paths).toEqual([
      '/user.slice/user-1000.slice/user@1000.service/app.slice/quiltbee.service',
      '/user.slice/user-1000.slice/user@1000.service/app.slice',
      '/user.slice/user-1000.slice/user@1000.service',
      '/user.slice/user-1000.slice',
      '/user.slice',
      '',
    ])
  })

  it('of version 1 are those of the memory controller', () => {
    const groups = parseMembership(recorded('linux/cgroup-v1-docker.txt')).filter(({ version }) => version === 'one')
    expect(groups.at(0)?.path).toMatch(/^\/docker\//)
    expect(groups.at(-1)?.path).toBe('')
  })

  it('do not lead out of their tree', () => {
    expect(parseMembership('0::/../../etc\n')).toEqual([])
  })

  it('have no limit when it says max', () => {
    expect(parseCgroup({ limit: 'max\n', usage: '1\n', stat: null }, 'inactive_file')).toEqual({
      totalBytes: null,
      availableBytes: null,
    })
  })

  it('count reclaimable file pages as available', () => {
    const files = { limit: `${gibibyte}\n`, usage: `${512 * mebibyte}\n`, stat: recorded('linux/memory.stat-v2.txt') }
    expect(parseCgroup(files, 'inactive_file').availableBytes).toBe(768 * mebibyte)
  })
})

describe('a graphics card in sysfs', () => {
  it('has memory when amdgpu drives it', () => {
    const files = {
      vendor: '0x1002\n',
      device: '0x744c\n',
      uevent: recorded('linux/uevent-radeon-7900.txt'),
      memory: `${24 * gibibyte}\n`,
    }
    expect(parseDrmFiles(files)).toEqual({
      vendor: 'AMD',
      model: null,
      memoryBytes: 24 * gibibyte,
      driver: 'amdgpu',
      source: 'sysfs',
      pciAddress: '0000:03:00.0',
      pciId: '1002:744c',
    })
  })

  it('is nothing without a PCI id', () => {
    expect(parseDrmFiles({ vendor: null, device: null, uevent: 'DRIVER=vc4-drm\n', memory: null })).toBeNull()
  })
})

describe('power supplies', () => {
  const supply = (changes: Partial<PowerSupply>): PowerSupply => {
    return { type: 'Battery', scope: '', online: '', status: 'Unknown', capacity: '', ...changes }
  }

  it('without a battery are no battery', () => {
    expect(batteryOf([])).toBeNull()
    expect(batteryOf([supply({ type: 'Mains', online: '1' })])).toBeNull()
  })

  it('of a mouse are not the machine’s', () => {
    expect(batteryOf([supply({ scope: 'Device', status: 'Discharging', capacity: '5' })])).toBeNull()
  })

  it('are on battery when no charger is plugged in', () => {
    const unplugged = supply({ type: 'USB', online: '0' })
    const battery = supply({ status: 'Discharging', capacity: '80' })
    expect(batteryOf([unplugged, battery])).toEqual({ onBattery: true, charging: false, percent: 80 })
    expect(batteryOf([supply({ type: 'Mains', online: '1' }), unplugged, battery])).toMatchObject({ onBattery: false })
  })

  it('tell by the battery when no charger is listed', () => {
    expect(batteryOf([supply({ status: 'Discharging' })])).toEqual({ onBattery: true, charging: false, percent: null })
    expect(batteryOf([supply({ status: 'Charging', capacity: '300' })])).toEqual({
      onBattery: false,
      charging: true,
      percent: null,
    })
  })

  it('average two batteries', () => {
    const [one, two] = [supply({ capacity: '100', status: 'Full' }), supply({ capacity: '51' })]
    expect(batteryOf([one, two])).toEqual({ onBattery: false, charging: null, percent: 76 })
  })
})
