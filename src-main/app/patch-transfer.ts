/** Patches that come from files and go to files: our own, PEFT adapters, whole patched models, sparse updates. */
import type { PatchExport } from '#contracts/api/patches.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import type { ModelManifest } from '#contracts/model/manifest.ts'
import { piecesOf } from '#contracts/patch-file/byte-source.ts'
import { WrongBaseError } from '#contracts/patch-file/errors.ts'
import { type WrittenPatch, writePatch } from '#contracts/patch-file/write-patch.ts'
import type { Clock } from '#core/ports/clock.ts'
import type { Identity } from '#core/ports/keys.ts'
import type { ModelHandle, ModelStore } from '#core/ports/model-store.ts'
import type {
  AdapterWarning,
  ImportedAdapter,
  PatchInterop,
  WriteOptions,
  WrittenFiles,
} from '#core/ports/patch-interop.ts'
import type { KeptPatch, PatchLibrary } from '#core/ports/patch-library.ts'
import type { NamedPatch } from './patch-files.ts'

export interface ConvertComponents {
  readonly interop: PatchInterop
  readonly models: ModelStore
  /** Signs what was an adapter of another program. */
  readonly identity: Identity
  readonly clock: Clock
  readonly authorName: string
}

export interface ImportComponents extends ConvertComponents {
  readonly library: PatchLibrary
}

export interface ImportRequest {
  readonly path: string
  /** Name or digest of the base; wanted for adapters, which do not say it. */
  readonly model: string | null
  readonly title: string | null
}

export interface ImportedPatch {
  readonly patch: KeptPatch
  /** None for patch files. */
  readonly warnings: readonly AdapterWarning[]
}

/** SPDX's word for a licence that nobody has stated. */
const unstatedLicence = 'NOASSERTION'

/**
 * A patch file or an adapter into the library. Throws `InvalidInputError` for a path with nothing to import and for an adapter
 * without a model, and what reading the file says of it.
 */
export async function importPatch(
  components: ImportComponents,
  request: ImportRequest,
  signal?: AbortSignal,
): Promise<ImportedPatch> {
  const { interop, library } = components
  const options = { where: 'imported', ...(signal !== undefined && { signal }) } as const
  const kind = await interop.kindOf(request.path)
  if (kind === null) throw new InvalidInputError('path', 'there is nothing at this path')
  if (kind === 'patch') {
    const file = await interop.openPatchFile(request.path)
    try {
      return { patch: await library.add(piecesOf(file, signal), options), warnings: [] }
    } finally {
      await file.close()
    }
  }
  const { written, warnings } = await convertAdapter(components, request, signal)
  return { patch: await library.add(patchPieces(written), options), warnings }
}

/** An adapter as a patch by this node, which vouches for no more than having converted it: float32, so that nothing is lost. */
export async function convertAdapter(
  { interop, models, identity, clock, authorName }: ConvertComponents,
  { path, model, title }: ImportRequest,
  signal?: AbortSignal,
): Promise<{ readonly written: WrittenPatch; readonly warnings: readonly AdapterWarning[] }> {
  if (model === null) throw new InvalidInputError('model', 'an adapter does not say which base it is for')
  const base = await manifestOf(models, model)
  const adapter = await interop.readAdapter(path, base.config, signal === undefined ? {} : { signal })
  const written = await writePatch(
    adapter.content,
    {
      title: title ?? adapter.suggestedTitle,
      description: describeOrigin(adapter),
      licence: adapter.licence?.slice(0, 64) ?? unstatedLicence,
      author: { peerId: identity.peerId, name: authorName },
      createdAtMs: clock.now(),
      base: { digest: base.digest, name: base.name },
      parents: [],
      origin: 'import',
      training: null,
      data: null,
      metrics: [],
    },
    { signer: identity, valueFormat: 'float32', fisher: false, sharedMask: false },
  )
  return { written, warnings: adapter.warnings }
}

/** The file's bytes, front to back. */
export async function* patchPieces({ head, sections }: WrittenPatch): AsyncGenerator<Uint8Array> {
  yield head
  yield* sections
}

/**
 * In any of the formats. The whole model is made of `model`, or of the patch's own base; only for `safetensors` and `peft` the
 * base has to be here. Throws `WrongBaseError` for a model that is not the patch's base.
 */
export async function exportPatch(
  { interop, models }: { readonly interop: PatchInterop; readonly models: ModelStore },
  patch: NamedPatch,
  { format, model, ...options }: WriteOptions & Pick<PatchExport, 'format'> & { readonly model?: string | undefined },
): Promise<WrittenFiles & { readonly importable?: boolean }> {
  switch (format) {
    case 'patch':
      return await interop.writePatchFile(patch.bytes(options.signal), options)
    case 'sparse':
      return await interop.writeSparseUpdate(await patch.read(options.signal), options)
    case 'peft':
      return await withBase(models, patch, model, async ({ manifest }) =>
        interop.writeAdapter(await patch.read(options.signal), manifest, options),
      )
    case 'safetensors':
      return await withBase(models, patch, model, async (handle) =>
        interop.writePatchedModel(handle, [await patch.read(options.signal)], options),
      )
  }
}

/** Opens the patch's base; `name` is where to look for it, when it is not to be looked for by digest. */
export async function withBase<T>(
  models: ModelStore,
  { header }: Pick<NamedPatch, 'header'>,
  name: string | undefined,
  use: (model: ModelHandle) => Promise<T>,
): Promise<T> {
  const model = await models.open(name ?? header.base.digest)
  try {
    const { digest } = model.manifest
    if (digest !== header.base.digest) throw new WrongBaseError(digest, header.base.digest)
    return await use(model)
  } finally {
    await model.close()
  }
}

async function manifestOf(models: ModelStore, name: string): Promise<ModelManifest> {
  const model = await models.open(name)
  await model.close()
  return model.manifest
}

function describeOrigin({ method, warnings }: ImportedAdapter): string {
  const kind = method === 'ia3' ? '(IA)³' : 'LoRA'
  const unverified = warnings.find((warning) => warning.kind === 'base-unverified')
  const named = unverified?.baseName ? ` It names ${unverified.baseName} as its base.` : ''
  return `Converted from a PEFT ${kind} adapter.${named}`.slice(0, 2_000)
}

/** Several patches in the weights of one base. Throws `WrongBaseError` for one that is for another. */
export async function applyNamed(
  { interop, models }: { readonly interop: PatchInterop; readonly models: ModelStore },
  patches: readonly NamedPatch[],
  { model: name, ...options }: WriteOptions & { readonly model: string },
): Promise<WrittenFiles & { readonly importable: boolean }> {
  const model = await models.open(name)
  try {
    const { digest } = model.manifest
    for (const { header } of patches) {
      if (header.base.digest !== digest) throw new WrongBaseError(digest, header.base.digest)
    }
    const contents = []
    for (const patch of patches) contents.push(await patch.read(options.signal))
    return await interop.writePatchedModel(model, contents, options)
  } finally {
    await model.close()
  }
}
