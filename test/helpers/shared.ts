/** Test data that is laid beside a checkout (`../shared`): real models and float64 oracles. Absent elsewhere. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../../../shared')

export function sharedPath(path: string): string {
  return join(root, path)
}

/** Tests that need a path under `shared/` skip with this, and say so: `describe.skipIf(!hasShared('conformance'))`. */
export function hasShared(path = ''): boolean {
  return existsSync(sharedPath(path))
}
