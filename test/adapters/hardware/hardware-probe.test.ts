import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createHardwareProbe, probeTimeoutMs } from '#adapters/hardware/hardware-probe.ts'
import { type Machine, thisMachine } from '#adapters/hardware/machine.ts'
import { type HardwareProfile, hardwareProfileSchema } from '#contracts/api/hardware.ts'
import { createFakeClock } from '#test/fakes/clock.ts'
import { gibibyte, machineOf, mebibyte, type Recording, recorded } from './recorded.ts'

const clock = createFakeClock()
const measure = (recording: Recording) => measureOn(machineOf(recording))
const measureOn = (machine: Machine, timeoutMs = 200) =>
  createHardwareProbe({ dataDirectory: '/data', clock, machine, timeoutMs }).measure()

const hybridLinux: Recording = {
  commands: { 'nvidia-smi': recorded('nvidia-smi/two-rtx-4090.csv') },
  files: {
    '/proc/cpuinfo': recorded('linux/cpuinfo-ryzen-5800x.txt'),
    '/proc/meminfo': recorded('linux/meminfo-24g.txt'),
    '/sys/class/drm/card0/device/vendor': '0x10de\n',
    '/sys/class/drm/card0/device/device': '0x2684\n',
    '/sys/class/drm/card0/device/uevent': recorded('linux/uevent-rtx-4090.txt'),
    '/sys/class/drm/card0-HDMI-A-1/status': 'connected\n',
    '/sys/class/drm/card1/device/vendor': '0x8086\n',
    '/sys/class/drm/card1/device/device': '0x9a49\n',
    '/sys/class/drm/card1/device/uevent': recorded('linux/uevent-intel-iris.txt'),
    '/sys/class/power_supply/AC/type': 'Mains\n',
    '/sys/class/power_supply/AC/online': '0\n',
    '/sys/class/power_supply/BAT0/type': 'Battery\n',
    '/sys/class/power_supply/BAT0/status': 'Discharging\n',
    '/sys/class/power_supply/BAT0/capacity': '57\n',
  },
  systemInformation: { graphics: JSON.parse(recorded('systeminformation/graphics-linux-hybrid.json')) },
}

describe('measuring a Linux machine', () => {
  it('makes one profile of all probes, each card once', async () => {
    expect(await measure(hybridLinux)).toEqual({
      measuredAtMs: clock.now(),
      platform: 'linux',
      cpu: {
        model: 'AMD Ryzen 7 5800X 8-Core Processor',
        physicalCores: 8,
        logicalCores: 16,
        simd: ['sse', 'sse2', 'ssse3', 'fma', 'sse4_1', 'sse4_2', 'avx', 'f16c', 'avx2'],
      },
      memory: { totalBytes: 24_684_092 * 1024, availableBytes: expect.any(Number) },
      gpus: [
        {
          vendor: 'NVIDIA',
          model: 'NVIDIA GeForce RTX 4090',
          memoryBytes: 24_564 * mebibyte,
          driver: '560.35.03',
          source: 'nvidia-smi + sysfs + systeminformation',
        },
        {
          vendor: 'NVIDIA',
          model: 'NVIDIA GeForce RTX 4090',
          memoryBytes: 24_564 * mebibyte,
          driver: '560.35.03',
          source: 'nvidia-smi',
        },
        {
          vendor: 'Intel',
          model: 'TigerLake-LP GT2 [Iris Xe Graphics]',
          memoryBytes: null,
          driver: 'i915',
          source: 'sysfs + systeminformation',
        },
      ],
      disk: { totalBytes: 500 * gibibyte, freeBytes: 100 * gibibyte },
      battery: { onBattery: true, charging: false, percent: 57 },
    } satisfies HardwareProfile)
  })

  it('takes what is available from the kernel, not from what lies untouched', async () => {
    const { memory } = await measure({
      files: { '/proc/meminfo': 'MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\n' },
    })
    expect(memory).toEqual({ totalBytes: 16_000_000 * 1024, availableBytes: 8_000_000 * 1024 })
  })

  it("keeps to a container's limit", async () => {
    const { memory } = await measure({
      files: {
        '/proc/meminfo': 'MemTotal: 16000000 kB\nMemAvailable: 8000000 kB\n',
        '/proc/self/cgroup': recorded('linux/cgroup-v2-container.txt'),
        '/sys/fs/cgroup/memory.max': `${gibibyte}\n`,
        '/sys/fs/cgroup/memory.current': `${512 * mebibyte}\n`,
        '/sys/fs/cgroup/memory.stat': recorded('linux/memory.stat-v2.txt'),
      },
    })
    expect(memory).toEqual({ totalBytes: gibibyte, availableBytes: (1024 - 512 + 256) * mebibyte })
  })
})

describe('measuring a Windows machine', () => {
  it('merges cards that nvidia-smi knows by slot and Windows by name', async () => {
    const profile = await measure({
      platform: 'win32',
      commands: {
        'powershell.exe': recorded('windows/desktop-rtx-4090.json'),
        'nvidia-smi': '00000000:01:00.0, NVIDIA GeForce RTX 4090, 24564, 560.94\n',
      },
      systemInformation: { graphics: JSON.parse(recorded('systeminformation/graphics-windows-4090.json')) },
    })
    expect(profile.gpus).toEqual([
      {
        vendor: 'NVIDIA',
        model: 'NVIDIA GeForce RTX 4090',
        memoryBytes: 24_564 * mebibyte,
        driver: '560.94',
        source: 'nvidia-smi + Win32_VideoController + systeminformation',
      },
      {
        vendor: 'AMD',
        model: 'AMD Radeon(TM) Graphics',
        memoryBytes: 512 * mebibyte,
        driver: '31.0.24027.1012',
        source: 'Win32_VideoController + systeminformation',
      },
    ])
    expect(profile.battery).toBeNull()
  })
})

describe('measuring a Mac', () => {
  it('reads one made by Apple', async () => {
    const profile = await measure({
      platform: 'darwin',
      logicalCores: 8,
      commands: {
        sysctl: recorded('macos/sysctl-m2.txt'),
        system_profiler: recorded('macos/system-profiler-m2.json'),
        pmset: recorded('macos/pmset-on-battery.txt'),
      },
      systemInformation: { mem: { total: 16 * gibibyte, available: 7 * gibibyte } },
    })
    expect(profile).toMatchObject({
      cpu: { model: 'Apple M2', physicalCores: 8, simd: ['feat_dotprod', 'feat_bf16', 'feat_i8mm', 'neon'] },
      memory: { totalBytes: 16 * gibibyte, availableBytes: 7 * gibibyte },
      gpus: [{ vendor: 'Apple', model: 'Apple M2', memoryBytes: 16 * gibibyte, driver: null }],
      battery: { onBattery: true, charging: false, percent: 83 },
    })
  })
})

describe('measuring in bad circumstances', () => {
  it('says null for everything it cannot see', async () => {
    expect(await measure({ platform: 'freebsd' })).toMatchObject({
      cpu: { model: null, physicalCores: null, simd: null },
      memory: { totalBytes: 32 * gibibyte, availableBytes: 2 * gibibyte },
      gpus: [],
      battery: null,
    })
  })

  it('goes on without probes that hang or throw', async () => {
    const hanging: Machine = {
      ...machineOf(hybridLinux),
      run: () => new Promise(() => undefined),
      volume: async () => {
        throw new Error('stale file handle')
      },
    }
    const profile = await measureOn(hanging, 20)
    expect(profile).toMatchObject({ disk: { totalBytes: null, freeBytes: null }, battery: { percent: 57 } })
    expect(profile.gpus.map((gpu) => gpu.vendor)).toEqual(['NVIDIA', 'Intel'])
  })

  it('looks at the volume in which a folder will be made', async () => {
    const asked: string[] = []
    const machine: Machine = {
      ...machineOf({}),
      async volume(directory) {
        asked.push(directory)
        if (directory !== '/home') throw new Error('ENOENT')
        return { totalBytes: gibibyte, freeBytes: mebibyte }
      },
    }
    const probe = createHardwareProbe({ dataDirectory: '/home/bee/data', clock, machine })
    expect((await probe.measure()).disk).toEqual({ totalBytes: gibibyte, freeBytes: mebibyte })
    expect(asked).toEqual(['/home/bee/data', '/home/bee', '/home'])
  })

  it('stops at once when asked to, and ends its commands', async () => {
    const controller = new AbortController()
    const signals: AbortSignal[] = []
    const machine: Machine = {
      ...machineOf({}),
      run(_command, _args, { signal }) {
        signals.push(signal)
        return new Promise(() => undefined)
      },
    }
    const measuring = createHardwareProbe({ dataDirectory: '/', clock, machine }).measure({ signal: controller.signal })
    controller.abort()
    await expect(measuring).rejects.toThrow(/abort/)
    expect(signals.map((signal) => signal.aborted)).toEqual([true])
  })

  it('does not start when it was asked to stop before', async () => {
    const probe = createHardwareProbe({ dataDirectory: '/', clock, machine: machineOf({}) })
    await expect(probe.measure({ signal: AbortSignal.abort() })).rejects.toThrow(/abort/)
  })

  it('makes a well-formed profile of any nonsense', async () => {
    const nonsense = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 300 }),
      fc.constantFrom('NaN', '-1', '0', '1e999', '[N/A]', '99999999999999999999', '\0'),
      fc.constantFrom(
        ...['linux/cpuinfo-epyc-vm.txt', 'windows/desktop-rtx-4090.json', 'nvidia-smi/two-rtx-4090.csv'].map(recorded),
        ...['macos/sysctl-m2.txt', 'macos/system-profiler-intel.json', 'macos/pmset-charged.txt'].map(recorded),
      ),
      fc.json(),
    )
    const answers = fc.oneof(
      fc.anything(),
      fc.record({
        controllers: fc.array(fc.record({ vram: fc.anything(), model: fc.anything(), pciID: fc.anything() })),
        total: fc.double(),
        available: fc.double(),
        physicalCores: fc.double(),
        hasBattery: fc.boolean(),
        percent: fc.anything(),
        isCharging: fc.anything(),
      }),
    )
    const property = fc.asyncProperty(
      fc.constantFrom('linux', 'win32', 'darwin', 'haiku'),
      fc.infiniteStream(nonsense),
      answers,
      async (platform, stream, answer) => {
        const next = async () => stream.next().value ?? null
        const ask = async () => answer
        const machine: Machine = {
          ...machineOf({ platform }),
          run: next,
          readText: next,
          list: async () => ['card0', 'card1', 'BAT0', 'AC'],
          systemInformation: { cpu: ask, cpuFlags: ask, mem: ask, graphics: ask, battery: ask },
        }
        const profile = await measureOn(machine)
        expect(hardwareProfileSchema.parse(profile)).toEqual(profile)
        expect(JSON.stringify(profile)).not.toMatch(/NaN|undefined/)
      },
    )
    await fc.assert(property, { numRuns: 300 })
  })
})

describe('measuring this machine', () => {
  it('takes less than three seconds and finds processor, memory and disk', async () => {
    expect(probeTimeoutMs).toBeLessThanOrEqual(2000)
    const start = performance.now()
    const profile = await createHardwareProbe({ dataDirectory: import.meta.dirname, clock }).measure()
    expect(performance.now() - start).toBeLessThan(3000)
    expect(profile.memory.availableBytes).toBeLessThanOrEqual(profile.memory.totalBytes)
    expect(profile.disk.totalBytes).toBeGreaterThan(0)
    expect(profile.cpu.logicalCores).toBeGreaterThan(0)
  })

  it('gives null for a command that is missing, fails, or takes too long', async () => {
    const signal = new AbortController().signal
    const node = process.execPath
    expect(await thisMachine.run('no-such-command-quiltbee', [], { timeoutMs: 1000, signal })).toBeNull()
    expect(await thisMachine.run(node, ['-e', 'process.exit(9)'], { timeoutMs: 5000, signal })).toBeNull()
    expect(await thisMachine.run(node, ['-e', 'setInterval(() => {}, 9)'], { timeoutMs: 50, signal })).toBeNull()
    expect(await thisMachine.run(node, ['-p', '1 + 1'], { timeoutMs: 5000, signal })).toBe('2\n')
  })
})
