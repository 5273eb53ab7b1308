import { describe, expect, it } from 'vitest'
import { serveConnect } from '#electron/ipc.ts'
import { FakeContents, FakeElectron, fakeFrame, settled } from '#test/fakes/electron.ts'

function served() {
  const electron = new FakeElectron()
  const connected: { close(): void; start(): void; postMessage(message: unknown): void }[] = []
  const lines: string[] = []
  serveConnect({
    ipcMain: electron.ipcMain,
    MessageChannelMain: electron.MessageChannelMain,
    supervisor: { connect: (port) => connected.push(port) },
    isOurs: (id) => id === 1,
    log: (line) => lines.push(line),
  })
  return { electron, connected, lines, page: new FakeContents(1) }
}

describe('quiltbee:connect', () => {
  it("gives one end of a channel to the node and the other to the page's main frame", async () => {
    const { electron, connected, page } = served()
    electron.receive('quiltbee:connect', { sender: page, senderFrame: fakeFrame() })
    expect(connected).toHaveLength(1)
    expect(page.posted).toMatchObject([{ channel: 'quiltbee:port', message: null }])

    const heard: unknown[] = []
    const end = page.posted[0]?.ports[0]
    end?.on('message', (event) => heard.push(event.data))
    end?.start()
    connected[0]?.postMessage('from the node')
    await settled()
    await settled()
    expect(heard).toEqual(['from the node'])
    connected[0]?.close()
  })

  it.each([
    ['a frame that is gone', null, 'the frame is gone'],
    ['a destroyed frame', fakeFrame({ isDestroyed: () => true }), 'the frame is gone'],
    ['a detached frame', fakeFrame({ detached: true }), 'the frame is gone'],
    ['a frame within the page', fakeFrame({ parent: {} }), 'not the main frame'],
    ['another host', fakeFrame({ origin: 'app://evil', url: 'app://evil/' }), 'another origin'],
    ['a web page', fakeFrame({ origin: 'https://evil.org', url: 'https://evil.org/' }), 'another origin'],
    ['an opaque origin at our address', fakeFrame({ origin: 'null' }), 'another origin'],
    ['our origin at another address', fakeFrame({ url: 'about:blank' }), 'another origin'],
    ['an address that begins like ours', fakeFrame({ url: 'app://quiltbee.evil/' }), 'another origin'],
  ])('is refused to %s', (_who, senderFrame, why) => {
    const { electron, connected, lines, page } = served()
    electron.receive('quiltbee:connect', { sender: page, senderFrame })
    expect(connected).toEqual([])
    expect(page.posted).toEqual([])
    expect(lines).toEqual([`refused a connection: ${why}`])
  })

  it('is refused to a page of someone else, and to a destroyed one of ours', () => {
    const { electron, connected, lines, page } = served()
    electron.receive('quiltbee:connect', { sender: new FakeContents(2), senderFrame: fakeFrame() })
    page.destroyed = true
    electron.receive('quiltbee:connect', { sender: page, senderFrame: fakeFrame() })
    expect(connected).toEqual([])
    expect(lines).toEqual(Array(2).fill('refused a connection: not a window of ours'))
  })

  it('is the only channel', () => {
    const { electron } = served()
    expect(electron.ipcMain.eventNames()).toEqual(['quiltbee:connect'])
  })
})
