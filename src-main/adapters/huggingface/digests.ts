/** The two ways in which a hub names bytes, computed piece by piece. */
import { createHash } from 'node:crypto'
import type { HubFile } from '#core/ports/model-hub.ts'

export interface RunningDigest {
  update(bytes: Uint8Array): void
  /** Whether what was given is the whole file. Called once. */
  matches(): boolean
}

/** Git hashes a blob as `blob <size>\0` and then its bytes (git-scm.com/book, "Git Objects"). */
export function createRunningDigest({ digest, sizeBytes }: HubFile): RunningDigest {
  const isGit = digest.kind === 'git-blob-sha1'
  const hash = createHash(isGit ? 'sha1' : 'sha256')
  if (isGit) hash.update(`blob ${sizeBytes}\0`)
  return {
    update: (bytes) => hash.update(bytes),
    matches: () => hash.digest('hex') === digest.hex,
  }
}

export const digestNames = { sha256: 'SHA-256', 'git-blob-sha1': 'Git hash' } as const
