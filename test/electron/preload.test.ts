import { beforeEach, describe, expect, it, vi } from 'vitest'

const { exposed, sent, listeners } = vi.hoisted(() => ({
  exposed: new Map<string, Record<string, unknown>>(),
  sent: [] as unknown[][],
  listeners: new Map<string, (event: unknown) => void>(),
}))

vi.mock('electron', () => ({
  contextBridge: { exposeInMainWorld: (name: string, api: Record<string, unknown>) => exposed.set(name, api) },
  ipcRenderer: {
    send: (...args: unknown[]) => void sent.push(args),
    on: (channel: string, listener: (event: unknown) => void) => listeners.set(channel, listener),
  },
}))

const posted: unknown[][] = []
vi.stubGlobal('window', {
  location: { origin: 'app://quiltbee' },
  postMessage: (...args: unknown[]) => void posted.push(args),
})

await import('#electron/preload.ts')

describe('the preload', () => {
  beforeEach(() => {
    sent.length = 0
    posted.length = 0
  })

  it('exposes exactly one function, on one name', () => {
    expect([...exposed.keys()]).toEqual(['quiltbee'])
    expect(Object.keys(exposed.get('quiltbee') ?? {})).toEqual(['connect'])
  })

  it('passes on nothing that the page says, and returns nothing', () => {
    const connect = exposed.get('quiltbee')?.['connect'] as (...args: unknown[]) => unknown
    expect(connect('other:channel', { evil: true })).toBeUndefined()
    expect(sent).toEqual([['quiltbee:connect']])
  })

  it('hands the port into the page, to its own origin only, without the event that brought it', () => {
    expect([...listeners.keys()]).toEqual(['quiltbee:port'])
    const port = { fake: 'port' }
    listeners.get('quiltbee:port')?.({ ports: [port], sender: 'ipcRenderer', senderId: 0 })
    expect(posted).toEqual([[{ type: 'quiltbee:port' }, 'app://quiltbee', [port]]])
  })
})
