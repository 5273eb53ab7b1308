import { describe, expect, it } from 'vitest'
import { createTemporaryWeightCache } from '#adapters/files/weight-cache.ts'
import { type CatalogueComponents, createBackendCatalogue } from '#engines/catalogue/backend-catalogue.ts'
import { knownBackends } from '#engines/catalogue/known-backends.ts'
import type { ProbeReport } from '#engines/catalogue/probe-report.ts'
import { providerTraits } from '#engines/onnxruntime-gpu/providers.ts'
import { tfjsFormats } from '#engines/tfjs/tfjs-backend.ts'

const works: ProbeReport = { kind: 'works', formats: ['float32'] }

function catalogue(changes: Partial<CatalogueComponents> = {}) {
  return createBackendCatalogue({
    weightCache: createTemporaryWeightCache(),
    probe: async () => works,
    isInstalled: () => true,
    platform: 'linux',
    ...changes,
  })
}

async function listing(backend: string, changes: Partial<CatalogueComponents>) {
  const listings = await catalogue(changes).listBackends()
  return listings.find((candidate) => candidate.backend === backend)
}

describe('the catalogue of backends', () => {
  it('creates each backend it lists under that name, with those formats, whether it is installed or not', async () => {
    for (const { backend, formats } of knownBackends) {
      const created = await catalogue().createBackend(backend)
      expect({ backend: created.backend, formats: created.formats }).toEqual({ backend, formats })
    }
  })

  it('knows the same formats as the backends themselves', () => {
    const formats = new Map(knownBackends.map((known) => [known.backend, known.formats]))
    for (const traits of Object.values(providerTraits)) expect(formats.get(traits.backend)).toEqual(traits.formats)
    expect(formats.get('tfjs-wasm')).toEqual(tfjsFormats)
  })

  it('refuses a name it does not know', () => {
    expect(() => catalogue().createBackend('abacus')).toThrow(RangeError)
  })

  it('tries nothing that comes with the build', async () => {
    const tried: string[] = []
    await catalogue({
      probe: async (backend) => {
        tried.push(backend)
        return works
      },
    }).listBackends()
    expect(tried).toEqual(['onnxruntime-cuda', 'onnxruntime-webgpu', 'tfjs-cuda', 'tfjs-node'])
  })

  it('lists of an available backend the formats that work', async () => {
    expect(await listing('onnxruntime-webgpu', {})).toEqual({
      backend: 'onnxruntime-webgpu',
      device: 'gpu',
      formats: ['float32'],
      availability: { kind: 'available' },
    })
  })

  it.each([
    ['onnxruntime-directml', {}, { reason: 'wrong-platform', params: { platform: 'linux' } }],
    [
      'tfjs-node',
      { isInstalled: (name: string) => name !== '@tensorflow/tfjs-node' },
      { reason: 'not-installed', params: { package: '@tensorflow/tfjs-node' } },
    ],
    [
      'onnxruntime-cuda',
      { probe: async (): Promise<ProbeReport> => ({ kind: 'not-installed', detail: 'no library' }) },
      { reason: 'not-installed', params: { detail: 'no library' } },
    ],
    [
      'onnxruntime-webgpu',
      { probe: async (): Promise<ProbeReport> => ({ kind: 'no-device', detail: 'no adapter' }) },
      { reason: 'driver-missing', params: { detail: 'no adapter' } },
    ],
    [
      'onnxruntime-webgpu',
      { probe: async (): Promise<ProbeReport> => ({ kind: 'crashed', detail: 'ended by SIGSEGV' }) },
      { reason: 'probe-failed', params: { how: 'crashed', detail: 'ended by SIGSEGV' } },
    ],
  ])('says why %s is not available', async (backend, changes, expected) => {
    expect((await listing(backend, changes))?.availability).toEqual({ kind: 'unavailable', ...expected })
  })

  it('stops looking when nobody waits for it', async () => {
    await expect(catalogue().listBackends({ signal: AbortSignal.abort() })).rejects.toThrow(/abort/i)
  })
})
