import { describe, expect, it } from 'vitest'
import type { PeerSummary } from '#contracts/api/node.ts'
import { createTray } from '#electron/tray.ts'
import type { TrayAction, TrayView } from '#electron/tray-menu.ts'
import { FakeElectron } from '#test/fakes/electron.ts'
import { aStatus } from './node-status.ts'

const giving: TrayView = { node: { kind: 'running' }, status: aStatus() }

const aPeer: PeerSummary = { peerId: 'p', nodeName: null, direction: 'inbound', rttMs: null, spans: [] }

function shown(platform: NodeJS.Platform = 'linux', view = giving) {
  const electron = new FakeElectron()
  const actions: TrayAction[] = []
  const act = (action: TrayAction) => void actions.push(action)
  const tray = createTray(electron, { resourcesDirectory: '/r', platform, view, act })
  const [fake] = electron.trays
  if (fake === undefined) throw new Error('no tray was made')
  return { tray, fake, actions }
}

describe('the tray', () => {
  it('does what is picked', () => {
    const { fake, actions } = shown()
    for (const label of ['Open Quiltbee', 'For 15 minutes', 'For 1 hour', 'Until I resume', 'Quit Quiltbee']) {
      fake.pick(label)
    }
    expect(actions).toEqual([
      { type: 'open' },
      { type: 'pause', minutes: 15 },
      { type: 'pause', minutes: 60 },
      { type: 'pause', minutes: null },
      { type: 'quit' },
    ])
  })

  it('resumes, and tries again', () => {
    const { tray, fake, actions } = shown()
    const hosting = { kind: 'paused', reason: 'paused-by-owner', untilMs: null } as const
    tray.show({ ...giving, status: aStatus({ hosting }) })
    fake.pick('Resume')
    tray.show({ node: { kind: 'crashing', exitCode: 1 }, status: null })
    fake.pick('Try again')
    expect(actions).toEqual([{ type: 'resume' }, { type: 'retry' }])
  })

  it('changes picture, tool tip and menu with the state', () => {
    const { tray, fake } = shown()
    expect([fake.image, fake.toolTip]).toEqual(['/r/tray/giving.png', 'Quiltbee: Giving blocks 0:8, 2 sessions'])
    tray.show({ node: { kind: 'crashing', exitCode: 1 }, status: null })
    expect(fake.image).toBe('/r/tray/problem.png')
    expect(fake.toolTip).toBe('Quiltbee: Not running: it stopped three times within a minute')
    expect(fake.labels).toContain('Try again')
  })

  it('leaves the system alone while nothing it shows has changed', () => {
    const { tray, fake } = shown()
    tray.show({ ...giving, status: aStatus({ ledgerEntries: 99 }) })
    expect(fake.menusSet).toBe(1)
    tray.show({ ...giving, status: aStatus({ peers: [aPeer] }) })
    expect(fake.menusSet).toBe(2)
    expect(fake.labels).toContain('1 peer connected')
  })

  it('opens on a click, except on macOS, where a click opens the menu', () => {
    const linux = shown('linux')
    linux.fake.emit('click')
    expect(linux.actions).toEqual([{ type: 'open' }])
    const mac = shown('darwin')
    mac.fake.emit('click')
    expect(mac.actions).toEqual([])
    expect(mac.fake.image).toBe('/r/tray/givingTemplate.png')
  })

  it('cannot be clicked where it only tells', () => {
    const { fake } = shown()
    const told = (fake.menu ?? []).filter((item) => item.enabled === false)
    expect(told.map((item) => item.click)).toEqual([undefined, undefined, undefined])
  })

  it('is gone when closed', () => {
    const { tray, fake } = shown()
    tray.close()
    expect([fake.destroyed, fake.menu]).toEqual([true, null])
  })
})
