/**
 * How the command line speaks: results on stdout (one JSON object with `--json`), errors as one sentence on stderr, and an
 * exit code that says which kind of failure it was.
 */
import { CodedError, codeOf, type ErrorCode, type ErrorParams } from '#contracts/errors.ts'

/** Documented in README.md; scripts depend on them. */
export const exitCodes = {
  success: 0,
  internal: 1,
  usage: 2,
  model: 3,
  swarm: 4,
  ledger: 5,
  node: 6,
  cancelled: 130,
} as const

const exitCodeOf: Readonly<Record<ErrorCode, number>> = {
  internal: exitCodes.internal,
  'invalid-input': exitCodes.usage,
  cancelled: exitCodes.cancelled,
  'model-not-found': exitCodes.model,
  'model-format': exitCodes.model,
  'model-unsupported': exitCodes.model,
  'tokenizer-format': exitCodes.model,
  'context-too-long': exitCodes.usage,
  'missing-blocks': exitCodes.swarm,
  'peer-lost': exitCodes.swarm,
  'session-refused': exitCodes.swarm,
  'protocol-violation': exitCodes.swarm,
  'budget-exceeded': exitCodes.node,
  paused: exitCodes.node,
  'ledger-corrupt': exitCodes.ledger,
  'ledger-newer': exitCodes.ledger,
  'profile-locked': exitCodes.node,
  'not-running': exitCodes.node,
  'port-in-use': exitCodes.node,
  'storage-failed': exitCodes.node,
  'engine-failed': exitCodes.node,
  'patch-mismatch': exitCodes.model,
  'download-failed': exitCodes.model,
  'patch-format': exitCodes.model,
  'patch-not-found': exitCodes.model,
  'wrong-base': exitCodes.model,
  'patch-unavailable': exitCodes.swarm,
  'quota-exceeded': exitCodes.node,
  'data-format': exitCodes.usage,
  'run-not-found': exitCodes.usage,
  'run-state': exitCodes.node,
  'training-failed': exitCodes.node,
}

export function exitCodeFor(code: ErrorCode): number {
  return exitCodeOf[code]
}

export function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

export function printJson(value: unknown): void {
  print(JSON.stringify(value))
}

/** Says what went wrong on stderr and returns the exit code. Details of surprises appear with QUILTBEE_DEBUG=1 only. */
export function reportError(thrown: unknown, json: boolean): number {
  const error = firstOf(thrown)
  const code = codeOf(error)
  const message = error instanceof Error ? error.message : String(error)
  const params = error instanceof CodedError ? error.params : {}
  process.stderr.write(json ? `${JSON.stringify({ error: { code, message, params } })}\n` : `error: ${message}\n`)
  if (process.env['QUILTBEE_DEBUG'] === '1') process.stderr.write(`${traceOf(thrown)}\n`)
  return exitCodeFor(code)
}

/** What went wrong first, when closing things afterwards went wrong too. */
function firstOf(thrown: unknown): unknown {
  return thrown instanceof SuppressedError ? firstOf(thrown.suppressed) : thrown
}

/** A failure that came as data, over the API, in a sentence. */
export function describeFailure(failure: { code: ErrorCode; params: ErrorParams }): string {
  const { code, params } = failure
  switch (code) {
    case 'missing-blocks':
      return `no peer holds blocks ${params['blocks']}`
    case 'context-too-long':
      return `the text needs ${params['wanted']} positions, the model has ${params['maximum']}`
    case 'cancelled':
      return 'stopped'
    default: {
      const details = Object.entries(params).map(([name, value]) => `${name} ${String(value)}`)
      return [code.replaceAll('-', ' '), ...details].join(': ')
    }
  }
}

function traceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const cause = error.cause === undefined ? '' : `\ncaused by ${traceOf(error.cause)}`
  return `${error.stack ?? error.message}${cause}`
}

const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const

/** Three significant digits: `1.25 GiB`. */
export function formatBytes(bytes: number | null): string {
  if (bytes === null) return 'not detected'
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10))
  const value = bytes / 1024 ** power
  return `${power === 0 ? value : Number(value.toPrecision(3))} ${units[power]}`
}

/** Left-aligned columns with two spaces between them; the first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')
  return rows.map((row) => line(row).trimEnd()).join('\n')
}
