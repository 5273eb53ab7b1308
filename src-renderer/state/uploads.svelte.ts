/** Files on their way to the node, one after the other, kept until they are taken out or the wizard starts its run. */
import type { DataFile } from '#contracts/api/training.ts'
import { toFailure } from '../client/failure.ts'
import type { Failure } from '../text/errors.ts'
import type { Session } from './session.svelte.ts'
import { fitsUpload, type UploadPoint, uploadFile } from './upload.ts'

/** What the contract lets one request hold. */
export const maximumFiles = 64

export type UploadPhase = 'waiting' | 'sending' | 'sent' | 'failed' | 'too-large' | 'empty'

export type Upload = UploadPoint & {
  readonly key: number
  readonly name: string
  readonly sizeBytes: number
  readonly phase: UploadPhase
  readonly failure: Failure | null
}

export type Uploads = {
  readonly items: readonly Upload[]
  /** Files the node has, in the order they were added. */
  readonly files: readonly DataFile[]
  /** Nothing is under way, and nothing went wrong. */
  readonly isSettled: boolean
  /** How many were left out because there were too many. */
  readonly leftOut: number
  add(files: readonly File[]): void
  /** A file that lies on the node's machine, by its absolute path. */
  addPath(path: string): void
  remove(key: number): void
  retry(): void
  clear(): void
}

type Source = { readonly kind: 'blob'; readonly blob: Blob } | { readonly kind: 'path'; readonly path: string }

export function createUploads(session: Session): Uploads {
  let items = $state.raw<readonly Upload[]>([])
  let leftOut = $state.raw(0)
  const sources = new Map<number, Source>()
  let nextKey = 1
  let current: { readonly key: number; readonly abort: AbortController } | null = null
  const files = $derived(items.flatMap(fileOf))
  const isSettled = $derived(items.every(({ phase }) => phase === 'sent'))

  function fileOf({ key, id, phase }: Upload): DataFile[] {
    if (phase !== 'sent') return []
    const source = sources.get(key)
    if (source?.kind === 'path') return [{ kind: 'path', path: source.path }]
    return id === null ? [] : [{ kind: 'upload', id }]
  }

  function change(key: number, to: Partial<Upload>): void {
    items = items.map((item) => (item.key === key ? { ...item, ...to } : item))
  }

  function put(name: string, sizeBytes: number, phase: UploadPhase, source: Source): void {
    if (items.length >= maximumFiles) {
      leftOut += 1
      return
    }
    const key = nextKey++
    sources.set(key, source)
    items = [...items, { key, name, sizeBytes, phase, id: null, sentBytes: 0, failure: null }]
  }

  async function send(): Promise<void> {
    const { client } = session
    const next = items.find(({ phase }) => phase === 'waiting')
    const source = next === undefined ? undefined : sources.get(next.key)
    if (client === null || current !== null || next === undefined || source?.kind !== 'blob') return
    const abort = new AbortController()
    current = { key: next.key, abort }
    change(next.key, { phase: 'sending', failure: null })
    try {
      const file = { name: next.name, blob: source.blob }
      await uploadFile(client, file, next, (point) => change(next.key, point), abort.signal)
      change(next.key, { phase: 'sent' })
    } catch (error) {
      if (!abort.signal.aborted) change(next.key, { phase: 'failed', failure: toFailure(error) })
    } finally {
      current = null
    }
    await send()
  }

  return {
    get items() {
      return items
    },
    get files() {
      return files
    },
    get isSettled() {
      return isSettled
    },
    get leftOut() {
      return leftOut
    },
    add(given) {
      leftOut = 0
      for (const file of given) {
        const phase = !fitsUpload(file) ? 'too-large' : file.size === 0 ? 'empty' : 'waiting'
        put(file.name, file.size, phase, { kind: 'blob', blob: file })
      }
      void send()
    },
    addPath(path) {
      leftOut = 0
      put(path, 0, 'sent', { kind: 'path', path })
    },
    remove(key) {
      if (current?.key === key) current.abort.abort()
      sources.delete(key)
      items = items.filter((item) => item.key !== key)
    },
    retry() {
      items = items.map((item) => (item.phase === 'failed' ? { ...item, phase: 'waiting' } : item))
      void send()
    },
    clear() {
      current?.abort.abort()
      sources.clear()
      items = []
      leftOut = 0
    },
  }
}
