/**
 * From the cells of `bench:fish --details` to what docs/experiments/patches.md shows: the table on stdout, the curves as
 * an SVG file.
 *
 *     node test/bench/fish/write-report.ts CELLS.json… CURVES.svg
 */
import { readFileSync, writeFileSync } from 'node:fs'
import type { Summary } from '../fish.ts'
import type { CellResult } from './cell.ts'

const colours = ['#8A5A00', '#3B4BA8', '#1F6B45', '#A3293D', '#0F6C8C', '#5B5446']

const [picture = '', ...files] = process.argv.slice(2).reverse()
const summaries = files.reverse().flatMap((file) => JSON.parse(readFileSync(file, 'utf8')) as Summary[])

process.stdout.write(`${table()}\n`)
writeFileSync(picture, `${curves()}\n`)

function table(): string {
  const head = ['text', 'method', 'numbers trained', 'rate', 'gain, nats a token', 'of full', 'base text worse by']
  const rows = summaries.map((summary) => {
    const { domain, learningRate, cells } = summary
    const gains = cells.map(({ gain }) => gain)
    const full = summaries.find((one) => one.domain === domain && one.method === 'full')
    const share = full === undefined ? '' : (mean(gains) / mean(full.cells.map(({ gain }) => gain))).toFixed(2)
    const forgotten = mean(cells.map((cell) => cell.forgotten)).toFixed(3)
    return [
      domain,
      nameOf(summary),
      grouped(cells[0]),
      learningRate,
      `${mean(gains).toFixed(3)} ± ${spread(gains)}`,
      share,
      forgotten,
    ]
  })
  const line = (cells: readonly unknown[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

function nameOf({ method, keepRatio, protectedShare, ownText }: Summary): string {
  const size = keepRatio === 1 ? '' : ` ${keepRatio * 100} %`
  const text = ownText ? 'its own' : 'base'
  return `${method}${size}${protectedShare > 0 ? `, ${protectedShare * 100} % ${text} text` : ''}`
}

function grouped(cell: CellResult | undefined): string {
  return (cell?.trained ?? 0).toLocaleString('en')
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** Half of the distance between the seeds' ends. */
function spread(values: readonly number[]): string {
  return ((Math.max(...values) - Math.min(...values)) / 2).toFixed(3)
}

interface Series {
  readonly name: string
  readonly points: readonly (readonly [x: number, y: number])[]
}

/** Left: gain by size of the mask. Right: training loss by step. Of Moby Dick. */
function curves(): string {
  const plain = summaries.filter(({ domain, protectedShare }) => domain === 'moby-dick' && protectedShare === 0)
  const masks = [...new Set(plain.filter(({ keepRatio }) => keepRatio !== 1).map(({ method }) => method))]
  const bySize = masks.map((method) => ({
    name: method,
    points: plain
      .filter((one) => one.method === method)
      .map(({ keepRatio, cells }) => [Math.log10(keepRatio * 100), mean(cells.map(({ gain }) => gain))] as const),
  }))
  const shown = plain.filter(({ method, keepRatio }) => keepRatio === 0.005 || ['full', 'ia3', 'lora'].includes(method))
  const byStep = shown
    .filter(({ method }) => ['default', 'fish', 'random', 'full', 'ia3'].includes(method))
    .map(({ method, cells }) => ({
      name: method,
      points: (cells[0]?.curve ?? []).map(
        (_, i) => [i * 10 + 5, mean(cells.map(({ curve }) => curve[i] ?? 0))] as const,
      ),
    }))
  const sizes = [-1, Math.log10(0.5), Math.log10(2)]
  const parts = [
    chart({
      left: 0,
      title: 'Gain by mask, nats a token',
      series: bySize,
      ticks: sizes,
      label: (x) => `${(10 ** x).toPrecision(1)} %`,
    }),
    chart({
      left: 460,
      title: 'Training loss, nats a token (from 3.5)',
      from: 3.5,
      series: byStep,
      ticks: [0, 40, 80, 120],
      label: String,
    }),
  ]
  const attributes = 'xmlns="http://www.w3.org/2000/svg" viewBox="0 0 920 330" font-family="sans-serif" font-size="12"'
  return `<svg ${attributes}><title>Gain by the mask’s size, and training loss by step</title><rect width="920" height="330" fill="#FFFFFF"/>${parts.join('')}</svg>`
}

interface ChartInit {
  readonly left: number
  readonly title: string
  readonly series: readonly Series[]
  readonly ticks: readonly number[]
  readonly label: (x: number) => string
  /** Where the scale begins; 0 unless its title says otherwise. */
  readonly from?: number
}

function chart({ left, title, series, ticks, label, from = 0 }: ChartInit): string {
  const points = series.flatMap((one) => one.points)
  const highest = Math.max(...points.map(([, y]) => y))
  const [first, last] = [Math.min(...ticks), Math.max(...ticks)]
  const x = (value: number) => Math.round(left + 40 + ((value - first) / (last - first)) * 290)
  const y = (value: number) => Math.round(290 - ((value - from) / (highest - from)) * 240)
  const places = apart(series.map(({ points: own }) => y(own.at(-1)?.[1] ?? 0)))
  const lines = series.map(({ name, points: own }, i) => {
    const colour = colours[i % colours.length]
    const path = own.map(([at, value]) => `${x(at)},${y(value)}`).join(' ')
    const endX = own.at(-1)?.[0] ?? 0
    return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/><text x="${x(endX) + 6}" y="${(places[i] ?? 0) + 4}" fill="${colour}">${name}</text>`
  })
  const axis = ticks.map(
    (tick) => `<text x="${x(tick)}" y="310" text-anchor="middle" fill="#5B5446">${label(tick)}</text>`,
  )
  const scale = [from, (from + highest) / 2, highest].map(
    (value) =>
      `<line x1="${left + 40}" x2="${left + 330}" y1="${y(value)}" y2="${y(value)}" stroke="#D8D0BE"/><text x="${left + 34}" y="${y(value) + 4}" text-anchor="end" fill="#5B5446">${value.toFixed(1)}</text>`,
  )
  return `<text x="${left + 40}" y="24" font-size="14" fill="#1E1B16">${title}</text>${scale.join('')}${axis.join('')}${lines.join('')}`
}

/** The same places with room for a line of text between each two. */
function apart(places: readonly number[]): number[] {
  const moved = [...places]
  const order = [...places.keys()].sort((a, b) => (places[a] ?? 0) - (places[b] ?? 0))
  for (const [rank, i] of order.entries()) {
    const above = moved[order[rank - 1] ?? -1] ?? Number.NEGATIVE_INFINITY
    moved[i] = Math.max(places[i] ?? 0, above + 14)
  }
  return moved
}
