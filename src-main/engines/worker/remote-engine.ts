/** The `Engine` port, with the computing done in a worker. */
import type { Engine, LoadOptions } from '#core/ports/engine.ts'
import type { ModelHandle } from '#core/ports/model-store.ts'
import { checkFormat, checkLoad, checkSpan } from '../shared/check-load.ts'
import type { ComputeClient } from './compute-client.ts'
import type { Connection } from './connection.ts'
import { createRemoteEnds } from './remote-ends.ts'
import { createRemoteRunner } from './remote-runner.ts'

export function createRemoteEngine(client: ComputeClient): Engine {
  const { backend, numericsClasses } = client.description
  const formats = numericsClasses.map(({ weights }) => weights)

  /** The worker opens the model by its digest: a handle cannot cross. */
  function begin(model: ModelHandle, options: LoadOptions) {
    const format = checkLoad({ backend, formats }, options)
    options.signal?.throwIfAborted()
    return { model: model.manifest.digest, threads: options.threads, format }
  }

  return {
    backend,
    formats,
    numericsClass(format) {
      checkFormat({ backend, formats }, format)
      return numericsClasses[formats.indexOf(format)] as ReturnType<Engine['numericsClass']>
    },
    async loadSpan(model, span, options) {
      const wanted = begin(model, options)
      const { config } = model.manifest
      checkSpan(config, span)
      return loadPart(client, options, async (connection, part) => {
        const { start, end } = span
        const { answer } = await connection.call({ kind: 'load-span', part, span: { start, end }, ...wanted }, options)
        return createRemoteRunner(connection, { part, config, span: { start, end }, ...answer })
      })
    },
    async loadEnds(model, options) {
      const wanted = begin(model, options)
      const { config } = model.manifest
      return loadPart(client, options, async (connection, part) => {
        const { answer } = await connection.call({ kind: 'load-ends', part, ...wanted }, options)
        return createRemoteEnds(connection, { part, config, ...answer })
      })
    },
  }
}

/** What was loading when `load` failed is freed in the worker, also when it is done only later. */
export async function loadPart<T>(
  client: ComputeClient,
  { signal }: { readonly signal?: AbortSignal },
  load: (connection: Connection, part: number) => Promise<T>,
): Promise<T> {
  const connection = await client.connect({ signal })
  const part = connection.newId()
  try {
    return await load(connection, part)
  } catch (error) {
    connection.begin({ kind: 'dispose-part', part }).answered.catch(() => {})
    throw error
  }
}
