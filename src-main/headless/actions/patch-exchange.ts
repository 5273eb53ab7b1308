import { dataDirectory } from '#adapters/files/data-directory.ts'
import {
  followSchema,
  type PatchFetchEvent,
  type PatchList,
  type PatchSummary,
  patchTagSchema,
} from '#contracts/api/patches.ts'
import { shortDigest } from '#contracts/digest.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import { describeFailure, exitCodeFor, exitCodes, formatBytes, formatTable, print, printJson } from '../output.ts'
import { openPatchService, type PatchService } from '../patch-service.ts'
import { printable } from '../patch-text.ts'
import { cancellable, createProgressLine } from './model-progress.ts'
import { existingProfile, type ProfileOptions } from './patch-profile.ts'

interface SwarmOptions extends ProfileOptions {
  readonly bootstrap: readonly string[]
}

export async function listPatches(options: ProfileOptions & { readonly model?: string }): Promise<void> {
  await using service = await openPatchService(existingProfile(options))
  const all = await service.list({ model: options.model ?? null })
  const list = { ...all, patches: all.patches.filter(({ where }) => where !== 'seen') }
  if (options.json) printJson(list)
  else print(describeList(list))
}

export async function publishPatch(name: string, shared: boolean, options: ProfileOptions): Promise<void> {
  await using service = await openPatchService(existingProfile(options))
  const patch = await service.share(name, shared)
  if (options.json) return printJson(patch)
  const when = service.where === 'node' ? 'now' : 'as soon as a node runs on this profile ("quiltbee up")'
  print(shared ? `${titleOf(patch)} is offered to the swarm ${when}.` : `${titleOf(patch)} is offered no longer.`)
}

export async function searchPatches(
  options: SwarmOptions & { readonly model?: string; readonly timeout: number },
): Promise<void> {
  const request = { model: options.model ?? null, timeoutMs: options.timeout * 1_000 }
  const { bootstrap } = options
  await using service = await openPatchService(dataDirectory(options), { bootstrap })
  const found = await cancellable(async (signal) => {
    await service.search(request, signal)
    const { patches } = await service.list({ model: request.model })
    return patches.filter(({ holders }) => holders > 0)
  })
  if (options.json) return printJson({ patches: found })
  print(found.length === 0 ? 'Nobody who can be reached offers a patch.' : tableOf(found, foundColumns))
}

export async function fetchFromSwarm(name: string, options: SwarmOptions): Promise<void> {
  await using service = await openPatchService(dataDirectory(options), { bootstrap: options.bootstrap })
  process.exitCode = await cancellable(async (signal) => {
    // The beginning of a digest says nothing until patches have been heard of.
    const isWhole = /^[0-9a-f]{64}$/.test(name)
    if (service.where === 'here' && !isWhole) await service.search({ model: null, timeoutMs: searchMs }, signal)
    return await followFetch(service.fetch(name, signal), options)
  })
}

const searchMs = 10_000

async function followFetch(events: AsyncIterable<PatchFetchEvent>, options: ProfileOptions): Promise<number> {
  const line = createProgressLine()
  for await (const event of events) {
    switch (event.type) {
      case 'progress':
        line.show('Fetching', { bytesDone: event.receivedBytes, bytesTotal: event.sizeBytes })
        break
      case 'dropped':
        line.end()
        process.stderr.write(`Left peer ${event.peerId} (${printable(event.why)}); going on without it.\n`)
        break
      case 'done':
        line.end()
        if (options.json) printJson(event.patch)
        else print(`${titleOf(event.patch)}, ${formatBytes(event.patch.sizeBytes)}, is here and checked.`)
        return exitCodes.success
      case 'error':
        line.end()
        if (options.json) process.stderr.write(`${JSON.stringify({ error: event })}\n`)
        else process.stderr.write(`error: ${describeFailure(event)}\n`)
        return exitCodeFor(event.code)
    }
  }
  return exitCodes.internal
}

export async function removePatch(name: string, options: ProfileOptions): Promise<void> {
  await using service = await openPatchService(existingProfile(options))
  const patch = await findPatch(service, name)
  await service.remove(name)
  if (options.json) printJson({ removed: patch?.digest ?? name })
  else print(`${patch === undefined ? name : titleOf(patch)} is no longer on this machine.`)
}

/** For what is printed; whether there is such a patch, removing it tells. */
async function findPatch(service: PatchService, name: string): Promise<PatchSummary | undefined> {
  const { patches } = await service.list({ model: null })
  return patches.find(({ digest, tags }) => tags.includes(name) || (name.length >= 8 && digest.startsWith(name)))
}

export async function tagPatch(tag: string, patch: string | undefined, options: ProfileOptions): Promise<void> {
  const parsed = patchTagSchema.safeParse({ tag, patch: patch ?? null })
  if (!parsed.success) throw new InvalidInputError('tag', parsed.error.issues[0]?.message ?? 'not usable')
  await using service = await openPatchService(existingProfile(options))
  await service.tag(tag, patch ?? null)
  if (options.json) printJson(parsed.data)
  else print(patch === undefined ? `Nothing is called ${tag} any more.` : `${patch} is called ${tag}.`)
}

export async function followAuthor(
  peerId: string,
  followed: boolean,
  options: ProfileOptions & { readonly name?: string },
): Promise<void> {
  const parsed = followSchema.safeParse({ peerId, name: options.name ?? '', followed })
  if (!parsed.success) throw new InvalidInputError('peer', parsed.error.issues[0]?.message ?? 'not usable')
  await using service = await openPatchService(existingProfile(options))
  await service.follow(parsed.data)
  if (options.json) printJson(parsed.data)
  else print(followed ? `Patches by ${peerId} come first now.` : `${peerId} is followed no longer.`)
}

type Column = readonly [heading: string, cell: (patch: PatchSummary) => string]

const digestColumn: Column = ['digest', ({ digest }) => shortDigest(digest)]
const sizeColumn: Column = ['size', ({ sizeBytes }) => formatBytes(sizeBytes)]
const describing: readonly Column[] = [
  ['base', ({ header }) => printable(header.base.name)],
  [
    'author',
    ({ header, followed }) =>
      `${printable(header.author.name || header.author.peerId.slice(-8))}${followed ? ' *' : ''}`,
  ],
  ['title', ({ header, tags }) => [printable(header.title), ...tags.map((tag) => `[${tag}]`)].join(' ')],
]
const listColumns: readonly Column[] = [
  digestColumn,
  ['from', ({ where }) => where],
  ['shared', ({ shared }) => (shared ? 'yes' : 'no')],
  ['here', ({ receivedBytes, sizeBytes }) => `${Math.floor((100 * receivedBytes) / sizeBytes)} %`],
  sizeColumn,
  ...describing,
]
const foundColumns: readonly Column[] = [
  digestColumn,
  ['holders', ({ holders }) => String(holders)],
  ['here', ({ where }) => (where === 'seen' ? 'no' : 'yes')],
  sizeColumn,
  ...describing,
]

function tableOf(patches: readonly PatchSummary[], columns: readonly Column[]): string {
  const rows = patches.map((patch) => columns.map(([, cell]) => cell(patch)))
  return formatTable([columns.map(([heading]) => heading), ...rows])
}

function describeList({ patches, usage, follows }: PatchList): string {
  const room = `Patches by others take ${formatBytes(usage.bytes)} of ${formatBytes(usage.quotaBytes)}.`
  const following = follows.map(({ peerId, name }) => `${peerId}${name === '' ? '' : ` (${printable(name)})`}`)
  return [
    patches.length === 0 ? 'No patches yet: "quiltbee patch train" makes one, "quiltbee patch search" finds some.' : '',
    ...(patches.length === 0 ? [] : [tableOf(patches, listColumns)]),
    room,
    ...(following.length === 0 ? [] : [`Followed: ${following.join(', ')}`]),
  ]
    .filter((part) => part !== '')
    .join('\n')
}

function titleOf({ header, digest }: PatchSummary): string {
  return `${printable(header.title)} (${shortDigest(digest)})`
}
