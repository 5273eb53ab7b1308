import type { ModelHandle } from '#core/ports/model-store.ts'
import type { ArrayReader } from './array-reader.ts'
import type { WireArray } from './channel.ts'
import type { Answer, Notice, RequestKind, RequestOf } from './protocol.ts'

/** Does what a request asks. Arrays are taken and given as the request's comment in the protocol says. */
export type Handler<K extends RequestKind> = (
  request: RequestOf<K>,
  context: RequestContext,
) => Promise<Outcome<K>> | Outcome<K>
export type Handlers<K extends RequestKind> = { readonly [kind in K]: Handler<kind> }

export interface RequestContext {
  readonly arrays: ArrayReader
  /** Fires when the client has given up. */
  readonly signal: AbortSignal
  onProgress(progress: { readonly blocksLoaded: number; readonly blocksTotal: number }): void
}

export interface Outcome<K extends RequestKind> {
  readonly answer: Answer<K>
  readonly arrays?: readonly WireArray[]
}

export type NoticeHandlers<K extends Notice['kind']> = {
  readonly [kind in K]: (notice: Extract<Notice, { kind: kind }>) => void
}

/** The handle is closed again when loading is over. */
export type OpenModel = (digest: string) => Promise<ModelHandle>

export async function withModel<T>(
  open: OpenModel,
  digest: string,
  use: (model: ModelHandle) => Promise<T>,
): Promise<T> {
  const model = await open(digest)
  try {
    return await use(model)
  } finally {
    await model.close()
  }
}
