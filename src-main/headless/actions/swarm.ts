import { dataDirectory } from '#adapters/files/data-directory.ts'
import type { HostingState, NodeStatus } from '#contracts/api/node.ts'
import { CodedError } from '#contracts/errors.ts'
import { formatSpan } from '#contracts/span.ts'
import { connectToRunningNode } from '../node-client.ts'
import { formatBytes, formatTable, print, printJson } from '../output.ts'

export async function showStatus(options: { profile?: string; json?: true }): Promise<void> {
  const directory = dataDirectory(options)
  const connection = await connectToRunningNode(directory)
  if (connection === null) {
    throw new CodedError('not-running', `no node runs on profile ${directory.profile}; start one with "quiltbee up"`, {
      profile: directory.profile,
    })
  }
  const status = await connection.client.node.status()
  connection.close()
  if (options.json) printJson(status)
  else print(describeStatus(status))
}

function describeStatus(status: NodeStatus): string {
  const model = status.model === null ? 'no model' : `${status.model.name}, ${status.model.config.blockCount} blocks`
  const peers = status.peers.map((peer) => [
    peer.peerId,
    peer.nodeName ?? '',
    peer.spans.map(formatSpan).join(' ') || '-',
    peer.rttMs === null ? 'not measured' : `${peer.rttMs.toPrecision(3)} ms`,
  ])
  const blocks = status.coverage.map((block) => [
    String(block.block),
    String(block.holders.length),
    block.mine ? 'yes' : 'no',
  ])
  return [
    formatTable([
      ['this node', `${status.nodeName} (${status.peerId})`],
      ['model', model],
      ['hosting', describeHosting(status.hosting)],
      ['engine', describeEngine(status.engine)],
      ['today', `${status.today.servedTokens} tokens served, ${status.today.usedTokens} used`],
    ]),
    '',
    peers.length === 0 ? 'No peers yet.' : formatTable([['peer', 'name', 'blocks', 'round trip'], ...peers]),
    '',
    formatTable([['block', 'holders', 'held here'], ...blocks]),
  ].join('\n')
}

function describeEngine(engine: NodeStatus['engine']): string {
  if (engine === null) return 'not decided yet'
  return `${engine.backend}, ${engine.format} weights (${engine.why.replaceAll('-', ' ')})`
}

export function describeHosting(hosting: HostingState): string {
  switch (hosting.kind) {
    case 'starting':
      return 'starting'
    case 'measuring':
      return `measuring engines: ${hosting.done} of ${hosting.total}`
    case 'loading': {
      const verb = hosting.again ? 'the engine broke; loading' : 'loading'
      return `${verb} blocks ${formatSpan(hosting.span)}: ${hosting.blocksLoaded} of ${hosting.blocksTotal}`
    }
    case 'hosting':
      return `blocks ${formatSpan(hosting.span)}, ${hosting.sessions} sessions, ${formatBytes(hosting.memoryBytes)}`
    case 'paused':
      return `paused: ${hosting.reason}`
    case 'failed':
      return `failed: ${hosting.code}`
  }
}
