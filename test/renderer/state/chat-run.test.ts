import { describe, expect, test } from 'vitest'
import type { GenerateEvent, Hop } from '#contracts/api/chat.ts'
import {
  applyEvent,
  askToStop,
  type ChatRun,
  groupRuns,
  isLive,
  queueRun,
  remotePeers,
  startRun,
  stopRun,
} from '#renderer/state/chat-run.ts'
import { failoverInWords, madeBy, phaseInWords } from '#renderer/text/chat.ts'

const mine: Hop = { peerId: 'me', nodeName: 'mill', local: true, span: { start: 0, end: 2 } }
const otter: Hop = { peerId: 'peer-otter', nodeName: 'otter', local: false, span: { start: 2, end: 4 } }
const finch: Hop = { peerId: 'peer-finch', nodeName: 'finch', local: false, span: { start: 2, end: 4 } }

const begun = startRun({
  id: 1,
  startedAtMs: 0,
  modelName: 'seedling',
  prompt: 'Once',
  maxTokens: 8,
  patches: [],
  pair: null,
})
const route: GenerateEvent = { type: 'route', hops: [mine, otter], lostPeerId: null }
const text = (words: string, tokens: number): GenerateEvent => ({ type: 'text', text: words, tokens })
const missing: GenerateEvent = { type: 'error', code: 'missing-blocks', params: { blocks: '2:4' }, tokens: 2, hops: [] }

/** Applies events a hundred milliseconds apart. */
function play(events: readonly GenerateEvent[], from: ChatRun = begun): ChatRun {
  return events.reduce((run, event, index) => applyEvent(run, event, index * 100), from)
}

describe('a run', () => {
  test('collects text, counts tokens and measures its speed from the first text on', () => {
    const run = play([route, text(' a', 1), text(' b', 2), text(' c', 3)])
    expect(run).toMatchObject({ phase: 'writing', text: ' a b c', tokens: 3, tokensPerSecond: 10 })
  })

  test('keeps its text and its route when it fails', () => {
    const run = play([route, text(' a', 1), text(' b', 2), missing])
    expect(run).toMatchObject({ phase: 'failed', text: ' a b', failure: { code: 'missing-blocks' } })
    expect(run.routes).toHaveLength(1)
  })

  test('remembers which peer was lost, when, and who took over', () => {
    const run = play([route, text(' a', 1), { type: 'route', hops: [mine, finch], lostPeerId: 'peer-otter' }])
    const change = run.routes[1]
    expect(change).toMatchObject({ lostPeer: otter, tokens: 1 })
    expect(change && failoverInWords(change)).toBe(
      'After 1 token otter stopped answering; finch (blocks 2–3) took over, and the text goes on where it was.',
    )
    expect(remotePeers(run).map((hop) => hop.nodeName)).toEqual(['otter', 'finch'])
  })

  test('asked to stop, it keeps taking text until it has stopped', () => {
    const run = play([text(' b', 2)], askToStop(play([route, text(' a', 1)])))
    expect(run).toMatchObject({ phase: 'stopping', text: ' a b' })
    expect(isLive(run)).toBe(true)
    expect(isLive(stopRun(run))).toBe(false)
  })

  test('a cancellation is a stop, not a failure', () => {
    const run = play([route, { type: 'error', code: 'cancelled', params: {}, tokens: 0, hops: [] }])
    expect(run).toMatchObject({ phase: 'stopped', failure: null })
  })

  test('nothing changes a run that has ended', () => {
    const ended = play([route, missing])
    expect(play([text(' late', 9), route], ended)).toBe(ended)
  })

  test('says why it ended short of what was asked for', () => {
    const end = (tokens: number): GenerateEvent => ({
      type: 'end',
      reason: 'length',
      tokens,
      seed: 1,
      tokensPerSecond: null,
      hops: [],
    })
    expect(phaseInWords(play([end(8)]))).toContain('the length you asked for')
    expect(phaseInWords(play([end(5)]))).toContain('as long as the model can hold')
  })

  test('the two texts of a comparison stand together, the model alone first', () => {
    const init = { startedAtMs: 0, modelName: 'seedling', prompt: '', maxTokens: 8 }
    const alone = startRun({ ...init, id: 2, patches: [], pair: 2 })
    const patched = queueRun({ ...init, id: 3, patches: ['Whale songs'], pair: 2 })
    expect(groupRuns([patched, alone, begun])).toEqual([
      { key: 2, runs: [alone, patched] },
      { key: 1, runs: [begun] },
    ])
    expect(isLive(patched)).toBe(true)
    expect(phaseInWords(patched)).toBe('Waits for the text without patches')
    expect(madeBy(patched)).toBe('seedling with Whale songs')
    expect(madeBy(alone)).toBe('seedling alone')
  })
})
