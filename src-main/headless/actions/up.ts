import { join, resolve } from 'node:path'
import { RPCHandler } from '@orpc/server/ws'
import type { WebSocket } from 'ws'
import { loadOrCreateAccessToken } from '#adapters/files/access-token.ts'
import { removeRunningNode, writeRunningNode } from '#adapters/files/running-node.ts'
import { createApi } from '#app/api.ts'
import { type AssembledNode, assembleNode } from '#assembly/assemble-node.ts'
import { version } from '#assembly/version.ts'
import type { NodeStatus } from '#contracts/api/node.ts'
import type { Span } from '#contracts/span.ts'
import type { WeightFormat } from '#core/ports/engine.ts'
import { usualUiPort } from '../options.ts'
import { describeFailure, print, printJson } from '../output.ts'
import { startUiServer, type UiServer } from '../ui-server.ts'
import { describeHosting } from './swarm.ts'

/** After this the process ends whatever still hangs. */
const stopTimeoutMs = 4_500

export interface UpOptions {
  readonly profile?: string
  readonly model?: string
  readonly blocks: Span | 'auto'
  readonly listen: string[]
  readonly bootstrap: string[]
  readonly mdns: boolean
  readonly weights?: WeightFormat
  readonly uiPort?: number
  readonly json?: true
}

export async function up(options: UpOptions): Promise<void> {
  await using parts = new AsyncDisposableStack()
  const stopped = untilSignal()
  const assembled = await assembleNode(options)
  parts.defer(() => assembled.stop())
  await assembled.node.start()
  const ui = await serveUi(assembled, options.uiPort)
  parts.defer(() => ui.close())
  await writeRunningNode(assembled.directory.runningNodeFile, { processId: process.pid, uiPort: ui.port })
  parts.defer(() => removeRunningNode(assembled.directory.runningNodeFile))
  announce(assembled, ui, options.json === true)
  const reported = assembled.node
    .settled()
    .then(async () => report(await assembled.node.status(), options.json === true))
  await Promise.race([stopped, reported])
  await stopped
  // Unreferenced: it only matters when something below hangs.
  setTimeout(() => process.exit(1), stopTimeoutMs).unref()
}

async function serveUi(assembled: AssembledNode, port: number | undefined): Promise<UiServer> {
  const handler = new RPCHandler(createApi(assembled.node))
  return await startUiServer({
    rendererDirectory: rendererDirectory(),
    token: await loadOrCreateAccessToken(assembled.directory.accessTokenFile),
    port: port ?? usualUiPort,
    anyPortWhenTaken: port === undefined,
    attach: (socket: WebSocket) => {
      socket.on('error', () => socket.terminate())
      void handler.upgrade(socket)
    },
  })
}

/** Where `npm run build` puts the UI. */
function rendererDirectory(): string {
  return join(resolve(import.meta.dirname, '../../..'), 'dist/renderer')
}

function announce(assembled: AssembledNode, ui: UiServer, json: boolean): void {
  const { node, directory } = assembled
  const multiaddrs = assembled.addresses()
  if (json) {
    printJson({
      event: 'listening',
      version,
      profile: directory.profile,
      processId: process.pid,
      peerId: node.peerId,
      multiaddrs,
      uiUrl: ui.url,
    })
    return
  }
  print(`Quiltbee ${version}, profile ${directory.profile}, peer ${node.peerId}`)
  for (const address of multiaddrs) print(`Other nodes reach it at ${address}`)
  print(`Open ${ui.url}`)
}

function report(status: NodeStatus, json: boolean): void {
  const { hosting, model } = status
  if (json) {
    printJson({ event: 'hosting', hosting, model: model?.name ?? null })
    return
  }
  const what = hosting.kind === 'failed' ? `failed: ${describeFailure(hosting)}` : describeHosting(hosting)
  print(`Hosting ${model?.name ?? 'nothing'}: ${what}`)
}

function untilSignal(): Promise<void> {
  return new Promise((done) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => done())
  })
}
