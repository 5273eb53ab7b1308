/** A library in a folder of its own, opened as often as a test wants. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { openPatchLibrary, type PatchLibraryInit } from '#adapters/patch-store/open-patch-library.ts'
import type { PatchLibrary } from '#core/ports/patch-library.ts'
import { createFakeClock } from '#test/fakes/clock.ts'

export interface ScratchLibrary {
  readonly file: string
  readonly directory: string
  readonly incoming: string
  open(init?: Partial<PatchLibraryInit>): Promise<PatchLibrary>
  remove(): Promise<void>
}

export function initOf(folder: string): PatchLibraryInit {
  return {
    file: join(folder, 'patches.db'),
    directory: join(folder, 'patches'),
    quotaBytes: 2 ** 30,
    verifier: createSignatureVerifier(),
    clock: createFakeClock(),
  }
}

export function createScratchLibrary(): ScratchLibrary & { readonly folder: string } {
  const folder = mkdtempSync(join(tmpdir(), 'quiltbee-patches-'))
  const opened: PatchLibrary[] = []
  const { file, directory } = initOf(folder)
  return {
    folder,
    file,
    directory,
    incoming: join(directory, 'incoming'),
    async open(init = {}) {
      const library = await openPatchLibrary({ ...initOf(folder), ...init })
      opened.push(library)
      return library
    },
    async remove() {
      for (const library of opened) await library.close()
      rmSync(folder, { recursive: true })
    },
  }
}
