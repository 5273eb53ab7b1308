import { describe, expect, it } from 'vitest'
import { noBudgetReasons } from '#contracts/api/hardware.ts'
import type { HostingState } from '#contracts/api/node.ts'
import { errorCodes } from '#contracts/errors.ts'
import type { NodeState } from '#electron/node-supervisor.ts'
import { clockTime } from '#electron/text.ts'
import { trayState } from '#electron/tray-image.ts'
import { statusLine, type TrayItem, trayMenu } from '#electron/tray-menu.ts'
import { aStatus } from './node-status.ts'

const loading: Extract<HostingState, { kind: 'loading' }> = {
  kind: 'loading',
  span: { start: 0, end: 8 },
  blocksLoaded: 0,
  blocksTotal: 8,
  again: false,
}
const running: NodeState = { kind: 'running' }
const viewOf = (hosting: HostingState) => ({ node: running, status: aStatus({ hosting }) })

function outline(items: readonly TrayItem[]): string[] {
  return items.flatMap((item) => {
    if (item.kind === 'separator') return ['-']
    if (item.kind === 'submenu') return [`${item.label} >`, ...outline(item.items).map((label) => `  ${label}`)]
    return item.kind === 'text' ? [`(${item.label})`] : [item.label]
  })
}

describe('the tray menu', () => {
  it('tells what is given, to how many, and lets it be paused', () => {
    const span = { start: 0, end: 8 }
    expect(outline(trayMenu(viewOf({ kind: 'hosting', span, sessions: 2, memoryBytes: 1 })))).toEqual([
      '(Giving blocks 0:8, 2 sessions)',
      'Open Quiltbee',
      'Pause >',
      '  For 15 minutes',
      '  For 1 hour',
      '  Until I resume',
      '-',
      '(Today: 1,200 tokens given, 5 used)',
      '(No peers connected)',
      '-',
      'Quit Quiltbee',
    ])
  })

  it('offers to resume what the owner paused', () => {
    const menu = outline(trayMenu(viewOf({ kind: 'paused', reason: 'paused-by-owner', untilMs: null })))
    expect(menu.slice(0, 3)).toEqual(['(Paused by you)', 'Open Quiltbee', 'Resume'])
    expect(menu).not.toContain('Pause >')
  })

  it.each<HostingState>([
    { kind: 'paused', reason: 'on-battery', untilMs: null },
    { kind: 'failed', code: 'model-format', params: {} },
  ])('offers neither pause nor resume where it is not the owner who holds the node back: %j', (hosting) => {
    const menu = outline(trayMenu(viewOf(hosting)))
    expect(menu).not.toContain('Resume')
    expect(menu).not.toContain('Pause >')
    expect(menu).toContain('(No peers connected)')
  })

  it.each<[NodeState, string]>([
    [{ kind: 'starting' }, 'Starting…'],
    [{ kind: 'stopped' }, 'Stopped'],
    [{ kind: 'restarting', delayMs: 500, exitCode: 1 }, 'Stopped unexpectedly; starting again…'],
    [{ kind: 'running' }, 'Connecting…'],
  ])('is just a status line while the node is %j', (node, line) => {
    expect(outline(trayMenu({ node, status: null }))).toEqual([`(${line})`, 'Open Quiltbee', '-', 'Quit Quiltbee'])
  })

  it.each<[NodeState, string]>([
    [{ kind: 'crashing', exitCode: 139 }, 'Not running: it stopped three times within a minute'],
    [
      { kind: 'refused', code: 'profile-locked', params: {} },
      'Not giving: Quiltbee is already running with this profile',
    ],
  ])('offers to try again when the node is %j', (node, line) => {
    expect(outline(trayMenu({ node, status: null }))).toEqual([
      `(${line})`,
      'Open Quiltbee',
      'Try again',
      '-',
      'Quit Quiltbee',
    ])
  })
})

describe('the status line', () => {
  it.each<[HostingState, string]>([
    [{ kind: 'starting' }, 'Starting…'],
    [{ kind: 'measuring', done: 2, total: 6 }, 'Trying engine 3 of 6…'],
    [{ kind: 'measuring', done: 6, total: 6 }, 'Trying engine 6 of 6…'],
    [{ ...loading, blocksLoaded: 2 }, 'Loading block 3 of 8…'],
    [{ ...loading, blocksLoaded: 8 }, 'Loading block 8 of 8…'],
    [{ ...loading, again: true }, 'Starting the engine again…'],
    [{ ...loading, again: true, blocksLoaded: 1 }, 'Loading block 2 of 8…'],
    [{ kind: 'hosting', span: { start: 2, end: 3 }, sessions: 1, memoryBytes: 0 }, 'Giving blocks 2:3, 1 session'],
    [{ kind: 'failed', code: 'storage-failed', params: {} }, 'Not giving: The disk could not be read or written'],
  ])('for %j', (hosting, line) => expect(statusLine(viewOf(hosting))).toBe(line))

  it('says until when, where that is known', () => {
    const untilMs = new Date(2026, 10, 23, 14, 5).getTime()
    const line = statusLine(viewOf({ kind: 'paused', reason: 'paused-by-owner', untilMs }))
    expect(line).toBe(`Paused by you until ${clockTime(untilMs)}`)
    expect(line).toMatch(/05/)
  })

  it('has a sentence for every reason and every failure', () => {
    for (const reason of noBudgetReasons) {
      expect(statusLine(viewOf({ kind: 'paused', reason, untilMs: null }))).toMatch(/^(Paused|Giving nothing)\b/)
    }
    for (const code of errorCodes) {
      expect(statusLine(viewOf({ kind: 'failed', code, params: {} }))).toMatch(/^Not giving: \w.{5,}/)
    }
  })
})

describe('the tray icon', () => {
  it.each<[HostingState, string]>([
    [{ kind: 'hosting', span: { start: 0, end: 1 }, sessions: 0, memoryBytes: 0 }, 'giving'],
    [{ kind: 'paused', reason: 'on-battery', untilMs: null }, 'paused'],
    [{ kind: 'failed', code: 'internal', params: {} }, 'problem'],
    [{ kind: 'starting' }, 'offline'],
    [{ kind: 'measuring', done: 0, total: 6 }, 'offline'],
    [loading, 'offline'],
  ])('for %j is "%s"', (hosting, state) => expect(trayState(viewOf(hosting))).toBe(state))

  it('shows a problem when the node keeps failing, and offline while there is none', () => {
    expect(trayState({ node: { kind: 'crashing', exitCode: 1 }, status: null })).toBe('problem')
    expect(trayState({ node: { kind: 'refused', code: 'internal', params: {} }, status: null })).toBe('problem')
    expect(trayState({ node: { kind: 'restarting', delayMs: 1, exitCode: 1 }, status: null })).toBe('offline')
    expect(trayState({ node: running, status: null })).toBe('offline')
  })
})
