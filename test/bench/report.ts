/** What every bench prints: one JSON object on stdout; progress goes to stderr. */
import { cpus, release, totalmem, type } from 'node:os'

export function progress(text: string): void {
  process.stderr.write(`${text}\n`)
}

export function report(bench: string, figures: Readonly<Record<string, number>>): void {
  const machine = {
    cpu: cpus()[0]?.model ?? 'unknown',
    logicalCores: cpus().length,
    memoryBytes: totalmem(),
    system: `${type()} ${release()}`,
    node: process.version,
  }
  const rounded = Object.fromEntries(
    Object.entries(figures).map(([name, value]) => [name, Number(value.toPrecision(4))]),
  )
  process.stdout.write(`${JSON.stringify({ bench, machine, figures: rounded })}\n`)
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}
