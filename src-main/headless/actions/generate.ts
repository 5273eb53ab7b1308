import { resolve } from 'node:path'
import { type DataDirectory, dataDirectory } from '#adapters/files/data-directory.ts'
import { embeddedModelName, openPatchInterop } from '#assembly/model-store.ts'
import { openLocalGenerator, openSwarmGenerator, type StandaloneGenerator } from '#assembly/standalone-generator.ts'
import { type GenerateEvent, type GenerateRequest, generateRequestSchema } from '#contracts/api/chat.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import { connectToRunningNode } from '../node-client.ts'
import { describeFailure, exitCodeFor, exitCodes, print, printJson } from '../output.ts'
import { openPatchService } from '../patch-service.ts'

export interface GenerateOptions {
  readonly model?: string
  readonly prompt: string
  readonly maxTokens: number
  readonly temperature: number
  readonly topP: number
  readonly topK: number
  readonly seed?: number
  readonly stop: string[]
  readonly patch: string[]
  readonly bootstrap: string[]
  readonly local?: true
  readonly weights?: WeightFormat
  readonly profile?: string
  readonly json?: true
  readonly events?: true
}

export async function generate(options: GenerateOptions): Promise<void> {
  const directory = dataDirectory(options)
  const request = readRequest(options, await patchNames(directory, options))
  const stopping = new AbortController()
  const stop = () => stopping.abort()
  process.once('SIGINT', stop).once('SIGTERM', stop)
  await using source = await openSource(directory, request, options, stopping.signal)
  const show = options.events ? showEvents : options.json ? showResult : showText
  process.exitCode = await show(source.generate(request, stopping.signal))
}

/** Patches as the library knows them: a file is taken into it first. */
async function patchNames(directory: DataDirectory, { patch, model }: GenerateOptions): Promise<readonly string[]> {
  const names: string[] = []
  for (const name of patch) names.push((await importedFile(directory, name, model ?? null)) ?? name)
  return names
}

/** -> its digest; null for what is no path. */
async function importedFile(directory: DataDirectory, path: string, model: string | null): Promise<string | null> {
  if ((await openPatchInterop(directory).kindOf(path)) === null) return null
  await using service = await openPatchService(directory)
  const { digest } = await service.import({ path: resolve(path), model, title: null })
  return digest
}

function readRequest(options: GenerateOptions, patches: readonly string[]): GenerateRequest {
  const { prompt, maxTokens, temperature, topP, topK, stop } = options
  const parsed = generateRequestSchema.safeParse({
    model: options.model ?? null,
    prompt,
    maxTokens,
    sampling: { temperature, topP, topK, stop, seed: options.seed ?? null },
    localOnly: options.local === true,
    patches,
  })
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new InvalidInputError(`--${issue?.path.at(-1)?.toString() ?? 'prompt'}`, issue?.message ?? 'not usable')
}

/** The node that runs on the profile is in the swarm already, with blocks loaded: it does the work when there is one. */
async function openSource(
  directory: DataDirectory,
  request: GenerateRequest,
  options: GenerateOptions,
  signal: AbortSignal,
): Promise<StandaloneGenerator> {
  const model = request.model ?? embeddedModelName
  const init = { directory, model, ...(options.weights && { weights: options.weights }) }
  if (options.local) return await openLocalGenerator({ ...init, signal })
  const connection = await connectToRunningNode(directory)
  if (connection === null) return await openSwarmGenerator({ ...init, bootstrap: options.bootstrap })
  if (options.bootstrap.length > 0) {
    process.stderr.write('A node runs on this profile: its swarm is used, --bootstrap has no effect.\n')
  }
  return {
    async *generate(wanted, stop) {
      yield* await connection.client.chat.generate(wanted, stop === undefined ? {} : { signal: stop })
    },
    [Symbol.asyncDispose]: async () => connection.close(),
  }
}

type Events = AsyncIterable<GenerateEvent>

/** Text on stdout as it comes; what else there is to say on stderr. */
async function showText(events: Events): Promise<number> {
  let atLineStart = true
  for await (const event of events) {
    if (event.type === 'text') {
      process.stdout.write(event.text)
      atLineStart = event.text === '' ? atLineStart : event.text.endsWith('\n')
    }
    if (event.type === 'route' && event.lostPeerId !== null) {
      process.stderr.write(`Lost peer ${event.lostPeerId}; going on without it.\n`)
    }
    if (event.type !== 'end' && event.type !== 'error') continue
    if (!atLineStart) print('')
    return finish(event)
  }
  return exitCodes.internal
}

/** The whole text and what is known of how it was made, as one object; the text so far also when it failed. */
async function showResult(events: Events): Promise<number> {
  const routes: GenerateEvent[] = []
  let text = ''
  for await (const event of events) {
    if (event.type === 'text') text += event.text
    if (event.type === 'route') routes.push(event)
    if (event.type !== 'end' && event.type !== 'error') continue
    printJson({ text, ...event, routes })
    return finish(event)
  }
  return exitCodes.internal
}

async function showEvents(events: Events): Promise<number> {
  for await (const event of events) {
    printJson(event)
    if (event.type === 'end' || event.type === 'error') return finish(event)
  }
  return exitCodes.internal
}

function finish(event: Extract<GenerateEvent, { type: 'end' | 'error' }>): number {
  if (event.type === 'end') return exitCodes.success
  process.stderr.write(`error: ${describeFailure(event)}\n`)
  return exitCodeFor(event.code)
}
