import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { trayImagePath, trayStates } from '#electron/tray-image.ts'
import { decodePng, drawAllIcons, encodePng, type Picture } from '#test/helpers/draw-icons.ts'

const resources = join(import.meta.dirname, '../../resources')
const drawn = drawAllIcons()
const committed = (path: string) => readFileSync(join(resources, path))

/** Which pixels are more seen than not. */
function silhouette({ pixels }: Picture): string {
  return Array.from({ length: pixels.length / 4 }, (_, index) => ((pixels[index * 4 + 3] ?? 0) > 127 ? '#' : '.')).join(
    '',
  )
}

describe('the icons', () => {
  it.each([...drawn.keys()])('%s is what draw-icons draws', (path) => {
    const picture = drawn.get(path)
    expect(decodePng(committed(path))).toEqual(picture)
  })

  it('are all there are', () => {
    const files = ['tray', 'icons'].flatMap((folder) =>
      readdirSync(join(resources, folder)).map((file) => `${folder}/${file}`),
    )
    expect(files.sort()).toEqual([...drawn.keys()].sort())
  })

  it('are PNG: signature, 8-bit RGBA, and sizes as named', () => {
    for (const [path, { width, height }] of drawn) {
      const bytes = committed(path)
      expect(bytes.subarray(0, 8).toString('hex')).toBe('89504e470d0a1a0a')
      const size = /-(\d+)\.png$/.exec(path)?.[1] ?? (path.includes('@2x') ? '32' : '16')
      expect([bytes.readUInt32BE(16), bytes.readUInt32BE(20), bytes[24], bytes[25]]).toEqual([width, height, 8, 6])
      expect(String(width)).toBe(size)
    }
  })

  it('survive encoding and decoding', () => {
    const picture = { width: 2, height: 1, pixels: Uint8Array.of(1, 2, 3, 4, 250, 251, 252, 253) }
    expect(decodePng(encodePng(picture))).toEqual(picture)
  })
})

describe('the tray icons', () => {
  it.each(['linux', 'win32', 'darwin'] as const)('are there for every state on %s, in both sizes', (platform) => {
    for (const state of trayStates) {
      const path = trayImagePath(resources, state, platform)
      expect(readFileSync(path).length).toBeGreaterThan(0)
      expect(readFileSync(path.replace(/\.png$/, '@2x.png')).length).toBeGreaterThan(0)
    }
  })

  it('differ in shape from one another, not only in colour', () => {
    for (const size of ['', '@2x']) {
      const shapes = trayStates.map((state) => silhouette(decodePng(committed(`tray/${state}Template${size}.png`))))
      for (const [index, shape] of shapes.entries()) {
        for (const other of shapes.slice(index + 1)) {
          const differing = [...shape].filter((pixel, at) => pixel !== other[at]).length
          expect(differing / shape.length).toBeGreaterThan(0.03)
        }
      }
    }
  })

  it('are black alone for macOS, which colours them itself', () => {
    for (const state of trayStates) {
      const { pixels } = decodePng(committed(`tray/${state}Template.png`))
      expect(pixels.every((value, index) => index % 4 === 3 || value === 0)).toBe(true)
    }
  })
})
