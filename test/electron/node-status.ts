/** A node's status as the shell's tests need it: a small, healthy node, changed where a test says so. */
import type { NodeStatus } from '#contracts/api/node.ts'

export function aStatus(change: Partial<NodeStatus> = {}): NodeStatus {
  return {
    nodeName: 'bee',
    peerId: '12D3KooWBee',
    version: '0.1.0',
    startedAtMs: 0,
    addresses: [],
    hosting: { kind: 'hosting', span: { start: 0, end: 8 }, sessions: 2, memoryBytes: 1 },
    model: null,
    budget: null,
    engine: null,
    coverage: [],
    peers: [],
    today: { servedSessions: 1, servedTokens: 1200, usedSessions: 0, usedTokens: 5, bytesReceived: 0, bytesSent: 0 },
    ledgerEntries: 1,
    ...change,
  }
}
