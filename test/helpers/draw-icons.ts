/**
 * Draws every icon of the product from shapes, so that there is no picture without a source. `node test/helpers/draw-icons.ts`
 * writes them into `resources`; a test holds the committed files against what is drawn here.
 *
 * Shapes are signed distances in a unit square, y down (negative inside, Quilez, "2D distance functions"); a pixel's cover
 * is its distance to the edge, so that edges are smooth without sampling twice.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { crc32, deflateSync, inflateSync } from 'node:zlib'

/** Distance to a shape's edge at a point, in units of the square's side. */
type Shape = (x: number, y: number) => number
type Colour = readonly [red: number, green: number, blue: number]
interface Layer {
  readonly shape: Shape
  readonly colour: Colour
}
export interface Picture {
  readonly width: number
  readonly height: number
  /** RGBA, row by row. */
  readonly pixels: Uint8Array
}

const sine60 = 0.8660254037844386
const sine30 = 0.5

/** A hexagon with a corner at the top; `radius` is the distance of its sides from its centre. */
function hexagon(centreX: number, centreY: number, radius: number): Shape {
  return (x, y) => {
    const [dx, dy] = [Math.abs(x - centreX), Math.abs(y - centreY)]
    return Math.max(dx, dx * sine30 + dy * sine60) - radius
  }
}

function box(centreX: number, centreY: number, width: number, height: number): Shape {
  return (x, y) => Math.max(Math.abs(x - centreX) - width / 2, Math.abs(y - centreY) - height / 2)
}

function roundedBox(centreX: number, centreY: number, side: number, corner: number): Shape {
  return (x, y) => {
    const dx = Math.abs(x - centreX) - side / 2 + corner
    const dy = Math.abs(y - centreY) - side / 2 + corner
    const [outX, outY] = [Math.max(dx, 0), Math.max(dy, 0)]
    return Math.sqrt(outX * outX + outY * outY) + Math.min(Math.max(dx, dy), 0) - corner
  }
}

const ring = (shape: Shape, thickness: number): Shape => {
  return (x, y) => Math.max(shape(x, y), -shape(x, y) - thickness)
}
const both = (a: Shape, b: Shape): Shape => {
  return (x, y) => Math.min(a(x, y), b(x, y))
}
const without = (a: Shape, b: Shape): Shape => {
  return (x, y) => Math.max(a(x, y), -b(x, y))
}

function draw(size: number, layers: readonly Layer[]): Picture {
  const pixels = new Uint8Array(size * size * 4)
  for (let row = 0; row < size; row++) {
    for (let column = 0; column < size; column++) {
      pixels.set(pixelAt((column + 0.5) / size, (row + 0.5) / size, size, layers), (row * size + column) * 4)
    }
  }
  return { width: size, height: size, pixels }
}

/** Layers over one another, straight alpha. */
function pixelAt(x: number, y: number, size: number, layers: readonly Layer[]): number[] {
  let [red, green, blue, alpha] = [0, 0, 0, 0]
  for (const { shape, colour } of layers) {
    const cover = Math.min(1, Math.max(0, 0.5 - shape(x, y) * size))
    const total = cover + alpha * (1 - cover)
    if (total === 0) continue
    const mix = (over: number, under: number) => (over * cover + under * alpha * (1 - cover)) / total
    ;[red, green, blue, alpha] = [mix(colour[0], red), mix(colour[1], green), mix(colour[2], blue), total]
  }
  return [Math.round(red), Math.round(green), Math.round(blue), Math.round(alpha * 255)]
}

const black: Colour = [0, 0, 0]
const honey: Colour = [242, 169, 34]
const night: Colour = [44, 33, 20]

/** The four states as shapes of their own, readable at 16 pixels: see `tray-image.ts`. */
const cell = hexagon(0.5, 0.5, 0.42)
export const trayShapes: Readonly<Record<string, Shape>> = {
  giving: cell,
  paused: without(cell, both(box(0.375, 0.5, 0.125, 0.5), box(0.625, 0.5, 0.125, 0.5))),
  problem: without(cell, both(box(0.5, 0.4375, 0.125, 0.375), box(0.5, 0.75, 0.125, 0.125))),
  offline: ring(cell, 0.125),
}

/** On Windows and Linux the bar may be light or dark: honey on a dark rim stands out from both. */
function trayLayers(shape: Shape): Layer[] {
  const rim: Shape = (x, y) => shape(x, y) - 0.06
  return [
    { shape: rim, colour: night },
    { shape, colour: honey },
  ]
}

/** Seven cells of a comb, each a patch of its own shade: a quilt. */
function quilt(): Layer[] {
  const radius = 0.128
  const [stepX, stepY] = [radius * 2, radius * 2 * sine60]
  const patches: readonly (readonly [column: number, row: number, colour: Colour])[] = [
    [0, 0, [247, 185, 52]],
    [1, 0, [224, 138, 20]],
    [-1, 0, [252, 211, 110]],
    [0.5, -1, [236, 158, 30]],
    [-0.5, -1, [250, 198, 76]],
    [0.5, 1, [253, 224, 146]],
    [-0.5, 1, [200, 113, 14]],
  ]
  return [
    { shape: roundedBox(0.5, 0.5, 0.94, 0.2), colour: night },
    ...patches.flatMap(([column, row, colour]) => patch(0.5 + column * stepX, 0.5 + row * stepY, radius, colour)),
  ]
}

/** A cell with a darker seam a little inside of its edge. */
function patch(x: number, y: number, radius: number, colour: Colour): Layer[] {
  const seam: Colour = [colour[0] - 36, Math.max(0, colour[1] - 36), Math.max(0, colour[2] - 12)]
  return [
    { shape: hexagon(x, y, radius - 0.008), colour },
    { shape: ring(hexagon(x, y, radius - 0.026), 0.006), colour: seam },
  ]
}

/** Every picture by its path under `resources`. */
export function drawAllIcons(): ReadonlyMap<string, Picture> {
  const pictures = new Map<string, Picture>()
  for (const [state, shape] of Object.entries(trayShapes)) {
    for (const [suffix, size] of Object.entries({ '': 16, '@2x': 32 })) {
      pictures.set(`tray/${state}${suffix}.png`, draw(size, trayLayers(shape)))
      pictures.set(`tray/${state}Template${suffix}.png`, draw(size, [{ shape, colour: black }]))
    }
  }
  for (const size of [512, 1024]) pictures.set(`icons/icon-${size}.png`, draw(size, quilt()))
  return pictures
}

const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a)

/** PNG, 8-bit RGBA, rows unfiltered (W3C PNG, third edition). */
export function encodePng({ width, height, pixels }: Picture): Buffer {
  const header = Buffer.alloc(13)
  header.writeUInt32BE(width, 0)
  header.writeUInt32BE(height, 4)
  header.set([8, 6, 0, 0, 0], 8)
  const stride = width * 4
  const rows = Buffer.alloc(height * (stride + 1))
  for (let row = 0; row < height; row++) {
    rows.set(pixels.subarray(row * stride, (row + 1) * stride), row * (stride + 1) + 1)
  }
  const data = deflateSync(rows, { level: 9 })
  return Buffer.concat([signature, chunk('IHDR', header), chunk('IDAT', data), chunk('IEND', Buffer.alloc(0))])
}

/** Reads what `encodePng` wrote: the compressed bytes may differ between machines, the picture may not. */
export function decodePng(bytes: Buffer): Picture {
  const [width, height] = [bytes.readUInt32BE(16), bytes.readUInt32BE(20)]
  const dataLength = bytes.readUInt32BE(33)
  const rows = inflateSync(bytes.subarray(41, 41 + dataLength))
  const stride = width * 4
  const pixels = new Uint8Array(height * stride)
  for (let row = 0; row < height; row++) {
    pixels.set(rows.subarray(row * (stride + 1) + 1, (row + 1) * (stride + 1)), row * stride)
  }
  return { width, height, pixels }
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data])
  const framed = Buffer.alloc(body.length + 8)
  framed.writeUInt32BE(data.length, 0)
  framed.set(body, 4)
  framed.writeUInt32BE(crc32(body), body.length + 4)
  return framed
}

if (import.meta.main) {
  const resources = resolve(import.meta.dirname, '../../resources')
  for (const [path, picture] of drawAllIcons()) {
    mkdirSync(dirname(join(resources, path)), { recursive: true })
    writeFileSync(join(resources, path), encodePng(picture))
  }
}
