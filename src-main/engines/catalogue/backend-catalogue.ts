/** The backends of this build: which of them work on this machine, and how to get one. */
import { createRequire } from 'node:module'
import type { Availability, BackendListing, UnavailableReason } from '#core/calibration/backend-listing.ts'
import type { LinearBackend } from '../shared/linear-backend.ts'
import { type BackendComponents, type KnownBackend, knownBackend, knownBackends } from './known-backends.ts'
import { probeBackend } from './probe-backend.ts'
import type { ProbeReport } from './probe-report.ts'

export interface BackendCatalogue {
  /** Tries what needs a driver, one after the other, each in a process of its own: seconds. Rejects only when aborted. */
  listBackends(options?: { readonly signal?: AbortSignal }): Promise<readonly BackendListing[]>
  /** Throws `RangeError` for an unknown name. One that is not available fails with `EngineFailedError` when it loads. */
  createBackend(name: string): Promise<LinearBackend>
}

export interface CatalogueComponents extends BackendComponents {
  readonly probe?: (backend: string, options: { signal?: AbortSignal }) => Promise<ProbeReport>
  readonly isInstalled?: (packageName: string) => boolean
  readonly platform?: NodeJS.Platform
}

export function createBackendCatalogue(components: CatalogueComponents): BackendCatalogue {
  const { probe = probeBackend, isInstalled = isPackageHere, platform = process.platform } = components

  async function list(known: KnownBackend, options: { signal?: AbortSignal }): Promise<BackendListing> {
    const { backend, device, formats, package: packageName } = known
    const listing = { backend, device, formats }
    if (known.platforms?.includes(platform) === false) {
      return { ...listing, availability: unavailable('wrong-platform', { platform }) }
    }
    if (!isInstalled(packageName)) {
      return { ...listing, availability: unavailable('not-installed', { package: packageName }) }
    }
    if (known.builtIn) return { ...listing, availability: { kind: 'available' } }
    const report = await probe(backend, options)
    return report.kind === 'works'
      ? { ...listing, formats: report.formats, availability: { kind: 'available' } }
      : { ...listing, availability: whyNot(report) }
  }

  return {
    async listBackends(options = {}) {
      const listings: BackendListing[] = []
      for (const known of knownBackends) {
        options.signal?.throwIfAborted()
        listings.push(await list(known, options))
      }
      return listings
    },
    createBackend: (name) => knownBackend(name).create(components),
  }
}

function whyNot(report: Exclude<ProbeReport, { kind: 'works' }>): Availability {
  const { kind, detail } = report
  switch (kind) {
    case 'not-installed':
      return unavailable('not-installed', { detail })
    case 'no-device':
      return unavailable('driver-missing', { detail })
    case 'wrong-results':
    case 'crashed':
    case 'timed-out':
    case 'untried':
      return unavailable('probe-failed', { how: kind, detail })
  }
}

function unavailable(reason: UnavailableReason, params: Readonly<Record<string, string>>): Availability {
  return { kind: 'unavailable', reason, params }
}

/** Found without loading it. */
function isPackageHere(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(`${name}/package.json`)
    return true
  } catch {
    return false
  }
}
