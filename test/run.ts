/**
 * `npm test`: everything there is, in the order in which it fails fastest: build, types, layers, style, unit and process
 * tests, then the browser. Ends with the counts of all runners on a line of their own.
 */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { findOrInstallChromium } from './tools/chromium.ts'

const root = resolve(import.meta.dirname, '..')
const output = join(root, 'test-output')
const counts = { passed: 0, failed: 0, skipped: 0 }

/** Runs a tool of this project; a step counts as one passed or failed test unless it counts itself. */
function run(
  title: string,
  command: readonly [string, ...string[]],
  environment: Record<string, string> = {},
): boolean {
  process.stderr.write(`\n── ${title}\n`)
  const [tool, ...args] = command
  const result = spawnSync(tool, args, {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, ...environment },
    shell: process.platform === 'win32',
  })
  return result.status === 0
}

function step(title: string, ...command: [string, ...string[]]): void {
  counts[run(title, command) ? 'passed' : 'failed'] += 1
}

function addVitest(): void {
  const report = join(output, 'vitest.json')
  const passed = run('unit and process tests', [
    'vitest',
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile=${report}`,
  ])
  const results = readReport(report) as {
    numPassedTests: number
    numFailedTests: number
    numPendingTests: number
  } | null
  counts.passed += results?.numPassedTests ?? 0
  counts.failed += results?.numFailedTests ?? 0
  counts.skipped += results?.numPendingTests ?? 0
  // A suite that could not even be loaded has no failed tests of its own.
  if (!passed && (results?.numFailedTests ?? 0) === 0) counts.failed += 1
}

function addPlaywright(): void {
  const chromium = findOrInstallChromium()
  if ('missing' in chromium) {
    process.stderr.write(
      `\nSKIPPED: all browser tests: ${chromium.missing}. Set QUILTBEE_CHROMIUM to the path of one.\n`,
    )
    counts[process.env['CI'] ? 'failed' : 'skipped'] += 1
    return
  }
  const report = join(output, 'playwright.json')
  const passed = run('browser tests', ['playwright', 'test', '--reporter=list,json'], {
    QUILTBEE_CHROMIUM: chromium.path,
    PLAYWRIGHT_JSON_OUTPUT_NAME: report,
  })
  const results = readReport(report) as {
    stats: { expected: number; unexpected: number; flaky: number; skipped: number }
  } | null
  counts.passed += results?.stats.expected ?? 0
  counts.failed += (results?.stats.unexpected ?? 0) + (results?.stats.flaky ?? 0)
  counts.skipped += results?.stats.skipped ?? 0
  if (!passed && (results?.stats.unexpected ?? 0) === 0) counts.failed += 1
}

function readReport(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch {
    return null
  }
}

rmSync(output, { recursive: true, force: true })
mkdirSync(output, { recursive: true })
step('build', 'npm', 'run', '--silent', 'build')
step('types', 'tsc', '-b')
step('types of the UI', 'svelte-check', '--tsconfig', 'src-renderer/tsconfig.json', '--fail-on-warnings')
step('layers', 'depcruise', '--config', '.dependency-cruiser.mjs', 'src-main', 'src-renderer')
step('style', 'biome', 'ci', '--colors=off', '.')
addVitest()
addPlaywright()
process.stdout.write(`\n${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`)
process.exitCode = counts.failed === 0 ? 0 : 1
