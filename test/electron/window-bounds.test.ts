import { existsSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { placeWindow, readBounds, type WindowBounds, writeBounds } from '#electron/window-bounds.ts'

const screen = { x: 0, y: 0, width: 1920, height: 1040 }
const second = { x: 1920, y: -200, width: 1280, height: 1000 }
const saved: WindowBounds = { x: 100, y: 80, width: 1000, height: 700, maximized: false }

describe('placeWindow', () => {
  it('puts the window where it was', () => {
    expect(placeWindow(saved, [screen])).toEqual(saved)
    const onSecond = { ...saved, x: 2000, y: -150 }
    expect(placeWindow(onSecond, [screen, second])).toEqual(onSecond)
  })

  it('lets the system place a window that has no past, or whose screen is gone', () => {
    expect(placeWindow(null, [screen])).toEqual({ width: 1180, height: 800, maximized: false })
    expect(placeWindow({ ...saved, x: 2000 }, [screen])).toEqual({ width: 1180, height: 800, maximized: false })
    expect(placeWindow(saved, [])).toEqual({ width: 1180, height: 800, maximized: false })
  })

  it('makes a window fit a screen that has become smaller, with its title in reach', () => {
    const huge = { ...saved, y: -40, width: 4000, height: 3000 }
    expect(placeWindow(huge, [screen])).toEqual({ ...saved, y: 0, width: 1920, height: 1040 })
  })

  it('always leaves enough of a placed window on some screen to take hold of it', () => {
    const number = fc.integer({ min: -5000, max: 5000 })
    const size = fc.integer({ min: 1, max: 5000 })
    const rectangle = fc.record({ x: number, y: number, width: size, height: size })
    const area = fc.record({
      x: number,
      y: number,
      width: fc.integer({ min: 900, max: 4000 }),
      height: fc.integer({ min: 600, max: 3000 }),
    })
    fc.assert(
      fc.property(rectangle, fc.array(area, { maxLength: 3 }), (window, areas) => {
        const placed = placeWindow({ ...window, maximized: false }, areas)
        expect(placed.width).toBeGreaterThanOrEqual(900)
        expect(placed.height).toBeGreaterThanOrEqual(600)
        const { x, y } = placed
        if (x === undefined || y === undefined) return
        const inReach = areas.some(
          (on) =>
            x + placed.width >= on.x + 120 && x <= on.x + on.width - 120 && y >= on.y && y <= on.y + on.height - 60,
        )
        expect(inReach).toBe(true)
      }),
    )
  })
})

describe('the file of the window', () => {
  const folder = () => mkdtempSync(join(tmpdir(), 'quiltbee-bounds-'))

  it('gives back what was written, and leaves nothing half written beside it', () => {
    const directory = folder()
    writeBounds(join(directory, 'window.json'), saved)
    expect(readBounds(join(directory, 'window.json'))).toEqual(saved)
    expect(readdirSync(directory)).toEqual(['window.json'])
  })

  it.each(['', '{', 'null', '{"x":1}', '{"x":1e99,"y":0,"width":1,"height":1,"maximized":true}', '[]', '\0\0'])(
    'is nothing when it holds %j',
    (content) => {
      const file = join(folder(), 'window.json')
      writeFileSync(file, content)
      expect(readBounds(file)).toBeNull()
    },
  )

  it('is nothing when it is not there, and not written when it cannot be', () => {
    const file = join(folder(), 'absent', 'window.json')
    expect(readBounds(file)).toBeNull()
    writeBounds(file, saved)
    expect(existsSync(file)).toBe(false)
  })
})
