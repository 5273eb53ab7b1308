import { describe, expect, test } from 'vitest'
import { noBudgetReasons } from '#contracts/api/hardware.ts'
import type { HostingState, NodeStatus } from '#contracts/api/node.ts'
import { hardwareRows } from '#renderer/text/hardware.ts'
import { budgetSentence, hostingHeadline, hostingPill, noModel, reasonInFull } from '#renderer/text/hosting.ts'
import { pauseAction } from '#renderer/text/shell.ts'
import { createScenario, type ScenarioName, scenarioNames } from '#test/fakes/in-memory-node-scenarios.ts'

const nowMs = Date.UTC(2026, 10, 23, 15, 0)

function statusOf(name: ScenarioName): NodeStatus {
  return createScenario(name, nowMs).status
}

describe('the state in words', () => {
  test.each(scenarioNames)('"%s" has a pill, a headline and a budget sentence without gaps', (name) => {
    const status = statusOf(name)
    const { title, detail } = hostingHeadline(status, nowMs)
    const words = [
      hostingPill(status.hosting).label,
      title,
      detail,
      budgetSentence(status.budget),
      noModel(status).detail,
    ]
    for (const text of words) {
      expect(text).not.toMatch(/undefined|NaN|null|!/)
      expect(text.length).toBeGreaterThan(3)
    }
  })

  test('says how much is lent', () => {
    expect(budgetSentence(statusOf('hosting').budget)).toBe(
      'You lend 2 threads and up to 1.2 GiB of memory: room for 4 blocks and 4 sessions of up to 256 tokens.',
    )
  })

  test('says what is missing when memory is short', () => {
    expect(hostingHeadline(statusOf('short-of-memory'), nowMs).detail).toBe(
      'One block and one session need 62 MiB; 40 MiB may be used. Close other programs: it looks again by itself.',
    )
  })

  test.each(noBudgetReasons)('the reason "%s" says why and how it ends', (reason) => {
    const { why, next } = reasonInFull(reason, null)
    expect(why).toMatch(/\.$/)
    expect(next).toMatch(/\.$/)
  })

  test('only a pause of the owner can be ended by the owner', () => {
    const paused = (reason: 'on-battery' | 'paused-by-owner'): HostingState => ({
      kind: 'paused',
      reason,
      untilMs: null,
    })
    const status = statusOf('hosting')
    expect(pauseAction(status)).toBe('pause')
    expect(pauseAction({ ...status, hosting: paused('paused-by-owner') })).toBe('resume')
    expect(pauseAction({ ...status, hosting: paused('on-battery') })).toBeNull()
    expect(pauseAction(null)).toBeNull()
  })
})

describe('the machine in words', () => {
  test('what was not found is named as that', () => {
    const rows = hardwareRows(createScenario('unknown', nowMs).profile)
    expect(rows.map(({ name, value }) => `${name}: ${value}`)).toEqual([
      'Processor: not detected',
      'Memory: 16 GiB',
      'Graphics: not detected',
      'Disk: not detected',
      'Battery: not detected',
    ])
  })

  test('of a long list of vector instructions the telling ones are shown', () => {
    const { profile } = createScenario('hosting', nowMs)
    const simd = ['mmx', 'sse', 'sse2', 'fma', 'avx', 'avx2', 'avx512f', 'avx512dq']
    const [processor] = hardwareRows({ ...profile, cpu: { ...profile.cpu, simd } })
    expect(processor?.note).toBe('8 cores, 16 threads, avx512f, avx2, fma')
  })

  test('several graphics cards are numbered, each with what is known of it', () => {
    const rows = hardwareRows(createScenario('gpu', nowMs).profile).filter(({ name }) => name.startsWith('Graphics'))
    expect(rows).toEqual([
      {
        name: 'Graphics 1',
        value: 'NVIDIA GeForce RTX 4070',
        note: 'memory 12 GiB, driver 560.35.03, seen by nvidia-smi',
      },
      {
        name: 'Graphics 2',
        value: 'Intel, model not detected',
        note: 'memory not detected, driver not detected, seen by sysfs',
      },
    ])
  })
})
