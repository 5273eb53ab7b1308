import { describe, expect, it } from 'vitest'
import { manageLifeCycle } from '#electron/life-cycle.ts'
import { FakeApp, FakeTimers } from '#test/fakes/electron.ts'

function managed(stop: () => Promise<void>) {
  const app = new FakeApp()
  const timers = new FakeTimers()
  const init = { openWindow: () => undefined, outlivesWindow: () => false, stop }
  manageLifeCycle({ app, timers, process: { on: () => undefined } }, init)
  return { app, timers }
}

describe('the end of the app', () => {
  it('comes after 5 s when something does not stop at all', async () => {
    const { app, timers } = managed(() => new Promise(() => undefined))
    app.quit()
    await timers.advance(4_999)
    expect(app.exits).toEqual([])
    await timers.advance(1)
    expect(app.exits).toEqual([0])
  })

  it('is not held up by something that fails to stop', async () => {
    const { app, timers } = managed(() => Promise.reject(new Error('already gone')))
    app.quit()
    await timers.advance(0)
    expect(app.exits).toEqual([0])
  })

  it('comes with the last window where nothing else keeps the app', async () => {
    const { app, timers } = managed(async () => undefined)
    app.emit('window-all-closed')
    await timers.advance(0)
    expect(app.exits).toEqual([0])
  })
})
