/** The API's handlers: each turns one procedure of the contract into a call of the node, and failures into codes. */
import { implement, ORPCError } from '@orpc/server'
import { apiVersion, contract } from '#contracts/api/contract.ts'
import { CodedError } from '#contracts/errors.ts'
import type { QuiltbeeNode } from './create-node.ts'
import { failureOf } from './failure.ts'
import { listLedger } from './ledger-list.ts'

/** Builds the router; the transports (`@orpc/server/ws`, `/message-port`, a direct client in tests) attach to it. */
export function createApi(node: QuiltbeeNode) {
  const api = implement(contract).use(async ({ next, path }) => {
    const named = (error: unknown): unknown => {
      if (error instanceof ORPCError) return error
      const failure = failureOf(error)
      if (failure.code === 'internal') node.logger.error({ error, procedure: path.join('.') }, 'a procedure failed')
      return new ORPCError('FAILED', { status: 500, defined: true, data: failure, cause: error })
    }
    try {
      const result = await next()
      const { output } = result
      return isGenerator(output) ? { ...result, output: withFailuresNamed(output, named) } : result
    } catch (error) {
      throw named(error)
    }
  })
  return api.router({
    connect: api.connect.handler(({ input }) => {
      if (input.apiVersion !== apiVersion) {
        throw new CodedError('invalid-input', `API version ${input.apiVersion} is not ${apiVersion}`, {
          where: 'apiVersion',
          what: `expected ${apiVersion}`,
          apiVersion,
        })
      }
      return { apiVersion, version: node.version, peerId: node.peerId }
    }),
    node: {
      status: api.node.status.handler(() => node.status()),
      watch: api.node.watch.handler(({ signal }) => node.watch(signal)),
      pause: api.node.pause.handler(async ({ input }) => {
        await node.pause(input.minutes)
        return await node.status()
      }),
      resume: api.node.resume.handler(async () => {
        await node.resume()
        return await node.status()
      }),
    },
    hardware: {
      get: api.hardware.get.handler(() => node.hardware()),
      detect: api.hardware.detect.handler(() => node.detectHardware()),
    },
    engine: {
      overview: api.engine.overview.handler(({ input, signal }) =>
        node.engineOverview({ ...input, ...(signal && { signal }) }),
      ),
      measure: api.engine.measure.handler(({ signal }) => node.measureEngines(signal)),
      choose: api.engine.choose.handler(({ input }) => node.chooseEngine(input)),
    },
    models: { list: api.models.list.handler(() => node.listModels()) },
    chat: { generate: api.chat.generate.handler(({ input, signal }) => node.generate(input, signal)) },
    training: {
      upload: api.training.upload.handler(({ input }) => node.training.upload(input)),
      inspect: api.training.inspect.handler(({ input, signal }) => node.training.inspect(input, signal)),
      plan: api.training.plan.handler(({ input, signal }) => node.training.plan(input, signal)),
      start: api.training.start.handler(({ input, signal }) => node.training.start(input, signal)),
      runs: api.training.runs.handler(() => node.training.runs()),
      show: api.training.show.handler(({ input }) => node.training.show(input.id)),
      watch: api.training.watch.handler(({ input, signal }) => node.training.watch(input.id, signal)),
      act: api.training.act.handler(({ input }) => node.training.act(input.id, input.action)),
    },
    patches: {
      list: api.patches.list.handler(({ input }) => node.patches.list(input)),
      watch: api.patches.watch.handler(({ input, signal }) => node.patches.watch(input, signal)),
      show: api.patches.show.handler(({ input }) => node.patches.show(input.patch)),
      diff: api.patches.diff.handler(({ input }) => node.patches.diff(input)),
      search: api.patches.search.handler(({ input, signal }) => node.patches.search(input, signal)),
      fetch: api.patches.fetch.handler(({ input, signal }) => node.patches.fetch(input.patch, signal)),
      share: api.patches.share.handler(({ input }) => node.patches.share(input.patch, input.shared)),
      remove: api.patches.remove.handler(async ({ input }) => {
        await node.patches.remove(input.patch)
        return {}
      }),
      tag: api.patches.tag.handler(async ({ input }) => {
        await node.patches.tag(input.tag, input.patch)
        return {}
      }),
      follow: api.patches.follow.handler(async ({ input }) => {
        await node.patches.follow(input)
        return {}
      }),
      import: api.patches.import.handler(({ input, signal }) => node.patches.import(input, signal)),
      export: api.patches.export.handler(({ input, signal }) => node.patches.export(input, signal)),
    },
    ledger: {
      list: api.ledger.list.handler(({ input }) => listLedger(node, input)),
      verify: api.ledger.verify.handler(({ signal }) => node.verifyLedger(signal)),
    },
  })
}

/** Event streams fail while they are read, long after the handler has returned. */
async function* withFailuresNamed<Event>(
  events: AsyncGenerator<Event, void, undefined>,
  named: (error: unknown) => unknown,
): AsyncGenerator<Event, void, undefined> {
  try {
    yield* events
  } catch (error) {
    throw named(error)
  }
}

function isGenerator(output: unknown): output is AsyncGenerator<unknown, void, undefined> {
  return typeof output === 'object' && output !== null && Symbol.asyncIterator in output
}

export type Api = ReturnType<typeof createApi>
