/**
 * A training that is killed at any moment goes on from its last checkpoint, and its patch is the one of a training that was
 * left alone, bit for bit: the digest is of the header, which vouches for every section.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { dataDirectory } from '#adapters/files/data-directory.ts'
import { openRunRecords } from '#assembly/training-records.ts'
import type { RunDetail, RunSummary } from '#contracts/api/training.ts'
import { createRandom } from '#core/numerics/random.ts'
import { createProcesses } from './processes.ts'

const processes = createProcesses()
/** The date is in the patch. */
beforeAll(() => void vi.stubEnv('SOURCE_DATE_EPOCH', '1700000000'))
afterAll(async () => {
  vi.unstubAllEnvs()
  await processes.clean()
})

const words = 'the whale sea ship captain white boat harpoon line deck wind mast sail crew night'.split(' ')

/** Sentences of few words: there is something to learn in a few steps. */
function writeText(home: string): string {
  const random = createRandom(11)
  const word = () => words[Math.floor(random() * words.length)] ?? ''
  const sentence = () => `${Array.from({ length: 9 }, word).join(' ')}.`
  const file = join(home, 'sea.txt')
  writeFileSync(file, Array.from({ length: 90 }, sentence).join('\n\n'))
  return file
}

const small = [
  ...['--steps', '12', '--batch-size', '2', '--sequence-length', '24', '--seed', '3'],
  ...['--fisher-examples', '12', '--trial-steps', '4', '--keep-ratio', '0.002', '--title', 'Sea'],
]

interface Lived {
  /** The last that was seen of the run. */
  readonly run: RunDetail | null
  /** From the first to the last sign of it. */
  readonly milliseconds: number
}

/** Runs a command that follows a run, and kills it `killAfterMs` after the run's first sign, unless it is null. */
async function follow(home: string, args: readonly string[], killAfterMs: number | null): Promise<Lived> {
  let run: RunDetail | null = null
  let firstAtMs = 0
  const { code, stderr } = await processes.quiltbee(home, [...args, '--events'], {
    onLine(line, child) {
      if (run === null) {
        firstAtMs = performance.now()
        if (killAfterMs !== null) setTimeout(() => child.kill('SIGKILL'), killAfterMs)
      }
      run = JSON.parse(line)
    },
  })
  if (code !== null && code !== 0) throw new Error(`${args.join(' ')} ended with ${code}: ${stderr}`)
  return { run, milliseconds: performance.now() - firstAtMs }
}

/** As they are kept, whoever carries them out. */
async function list(home: string): Promise<readonly RunSummary[]> {
  await using records = openRunRecords(dataDirectory({ environment: { QUILTBEE_HOME: home } }))
  return await records.list()
}

function patchOf(run: Pick<RunDetail, 'state'> | null): string | null {
  return run?.state.kind === 'finished' ? run.state.patch : null
}

/** A minute and a half on a quiet machine. */
const timeout = 300_000

describe('a training that is killed', { timeout }, () => {
  test('at 20 random moments of its life resumes every time, and comes to the same patch', async () => {
    const home = processes.home()
    const train = ['patch', 'train', '--data', writeText(home), ...small]
    const alone = await follow(home, train, null)
    const expected = patchOf(alone.run)
    expect(expected).not.toBeNull()
    expect(alone.run?.progress?.resumedFromStep).toBeNull()

    const random = createRandom(5)
    let underWay: string | null = null
    for (let kills = 0; kills < 20; ) {
      const args: string[] = underWay === null ? train : ['run', 'resume', underWay]
      await follow(home, args, random() * 0.5 * alone.milliseconds)
      const [newest] = await list(home)
      if (newest === undefined) throw new Error('the run is lost')
      if (patchOf(newest) === null) {
        kills++
        expect(['waiting', 'running']).toContain(newest.state.kind)
        underWay = newest.id
      } else {
        expect(patchOf(newest)).toBe(expected)
        underWay = null
      }
    }
    if (underWay !== null) {
      const { run } = await follow(home, ['run', 'resume', underWay], null)
      expect(patchOf(run)).toBe(expected)
      expect(run?.progress?.resumedFromStep).not.toBeNull()
    }
  })

  /** More with QUILTBEE_KILLS=20, for which there are longer runs. */
  const nodeKills = Number(process.env['QUILTBEE_KILLS'] ?? 3)

  test('with the node that carries it out goes on by itself when the node starts again', async () => {
    const home = processes.home()
    const train = ['patch', 'train', '--data', writeText(home), ...small, '--steps', String(4 * nodeKills)]
    const alone = await follow(home, train, null)
    const random = createRandom(7)
    const first = await processes.up(home, ['--no-mdns'])
    // Whoever started it from a terminal is told that the node is gone; the run does not mind.
    const started = processes.quiltbee(home, [...train, '--json'])
    await vi.waitFor(async () => expect(await list(home)).toHaveLength(2), { timeout: 20_000 })
    let node = first
    for (let kills = 0; kills < nodeKills; kills++) {
      await new Promise((waited) => setTimeout(waited, random() * 0.5 * alone.milliseconds))
      node.process.kill('SIGKILL')
      await node.ended
      node = await processes.up(home, ['--no-mdns'])
    }
    expect((await started).code).not.toBe(0)
    await vi.waitFor(async () => expect((await list(home))[0]?.state.kind).toBe('finished'), { timeout: 60_000 })
    const [run] = await list(home)
    expect(run && patchOf(run)).toBe(patchOf(alone.run))
    node.process.kill('SIGTERM')
    expect(await node.ended).toBe(0)
  })
})
