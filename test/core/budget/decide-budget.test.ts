import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Budget, budgetSchema, type HardwareProfile, type Policy, policySchema } from '#contracts/api/hardware.ts'
import { digestSchema } from '#contracts/digest.ts'
import {
  decideBudget,
  type ModelSizes,
  runtimeBytes,
  shortestLength,
  weightFactor,
} from '#core/budget/decide-budget.ts'
import { defaultPolicy } from '#core/budget/default-policy.ts'

const mebibyte = 1024 ** 2
const gibibyte = 1024 ** 3
const running = { pausedByOwner: false }

const profile: HardwareProfile = {
  measuredAtMs: 1_700_000_000_000,
  platform: 'linux',
  cpu: { model: 'AMD Ryzen 7 5800X', physicalCores: 8, logicalCores: 16, simd: ['avx2'] },
  memory: { totalBytes: 32 * gibibyte, availableBytes: 24 * gibibyte },
  gpus: [],
  disk: { totalBytes: 500 * gibibyte, freeBytes: 100 * gibibyte },
  battery: null,
}

/** Shaped like a Llama 3 of 8 billion parameters in float32. */
const large: ModelSizes = {
  digest: digestSchema.parse('ab'.repeat(32)),
  config: { blockCount: 32, contextLength: 131_072 },
  blockWeightBytes: 872_000_000,
  endsBytes: 4_200_000_000,
  cacheBytesPerPosition: 8192,
}

/** Shaped like the embedded model. */
const small: ModelSizes = {
  ...large,
  config: { blockCount: 8, contextLength: 256 },
  blockWeightBytes: 740_000,
  endsBytes: 1_050_000,
  cacheBytesPerPosition: 512,
}

function withMemory(totalBytes: number, availableBytes = totalBytes): HardwareProfile {
  return { ...profile, memory: { totalBytes, availableBytes } }
}

function used(budget: Budget, model: ModelSizes): number {
  if (budget.kind === 'nothing') return 0
  return runtimeBytes + (model.endsBytes + budget.weightBytes) * weightFactor + budget.cacheBytes
}

describe('the budget for a small model', () => {
  it('is all of it at full context, on half the cores', () => {
    expect(decideBudget(profile, defaultPolicy, small, running)).toEqual({
      kind: 'give',
      modelDigest: small.digest,
      blocks: 8,
      threads: 8,
      sessions: 8,
      maxLength: 256,
      weightBytes: 8 * 740_000,
      cacheBytes: 8 * 8 * 256 * 512,
      memoryLimitBytes: 16 * gibibyte,
    })
  })

  it('has at least one thread', () => {
    const onOneCore = { ...profile, cpu: { ...profile.cpu, logicalCores: 1 } }
    expect(decideBudget(onOneCore, { ...defaultPolicy, threadShare: 0.1 }, small, running)).toMatchObject({
      threads: 1,
    })
  })
})

describe('the budget for a model larger than the machine', () => {
  it('is as many blocks as fit, with the context that they leave room for', () => {
    const budget = decideBudget(profile, defaultPolicy, large, running)
    expect(budget).toMatchObject({ kind: 'give', blocks: 9, sessions: 8 })
    expect(budget.kind === 'give' && budget.maxLength).toBeGreaterThan(shortestLength)
    expect(used(budget, large)).toBeLessThanOrEqual(16 * gibibyte)
  })

  it('serves fewer sessions when one block with all of them is too much', () => {
    const oneBlock = runtimeBytes + (large.endsBytes + large.blockWeightBytes) * weightFactor
    const policy = { ...defaultPolicy, memoryCapBytes: oneBlock + 3 * shortestLength * 8192 }
    expect(decideBudget(profile, policy, large, running)).toMatchObject({
      blocks: 1,
      sessions: 3,
      maxLength: shortestLength,
    })
  })

  it('is nothing one byte below what one block and one session need, and says how much that is', () => {
    const budget = decideBudget(profile, { ...defaultPolicy, memoryCapBytes: mebibyte }, large, running)
    expect(budget).toMatchObject({ kind: 'nothing', reason: 'not-enough-memory', memoryLimitBytes: mebibyte })
    const needed = budget.kind === 'nothing' ? (budget.neededBytes ?? 0) : 0
    const at = (memoryCapBytes: number) => decideBudget(profile, { ...defaultPolicy, memoryCapBytes }, large, running)
    expect(at(needed)).toMatchObject({ kind: 'give', blocks: 1, sessions: 1 })
    expect(at(needed - 1)).toMatchObject({ kind: 'nothing', neededBytes: needed })
  })
})

describe('the memory limit', () => {
  const limit = (of: HardwareProfile, policy: Partial<Policy> = {}, heldBytes = 0) =>
    decideBudget(of, { ...defaultPolicy, ...policy }, small, { ...running, heldBytes }).memoryLimitBytes

  it('is the share of all memory when enough is free', () => {
    expect(limit(withMemory(8 * gibibyte))).toBe(4 * gibibyte)
  })

  it('is the cap when that is less', () => {
    expect(limit(withMemory(8 * gibibyte), { memoryCapBytes: gibibyte })).toBe(gibibyte)
  })

  it('follows what is free when other programs use most of the memory', () => {
    expect(limit(withMemory(8 * gibibyte, gibibyte))).toBe(Math.floor(0.85 * gibibyte))
  })

  it('does not shrink because this node holds memory already', () => {
    const before = limit(withMemory(8 * gibibyte, 4 * gibibyte))
    expect(limit(withMemory(8 * gibibyte, 3 * gibibyte), {}, gibibyte)).toBe(before)
  })
})

describe('the reason for nothing', () => {
  const battery = { charging: false, onBattery: true, percent: 50 }
  const fullDisk = { totalBytes: gibibyte, freeBytes: 0 }
  const worst = { ...withMemory(mebibyte), battery, disk: fullDisk }
  const reasonOf = (budget: Budget) => (budget.kind === 'nothing' ? budget.reason : null)

  it('is the first that applies, in a fixed order', () => {
    const stingy = { ...defaultPolicy, memoryShare: 0 }
    const reasons = [
      decideBudget(worst, stingy, null, { pausedByOwner: true }),
      decideBudget(worst, stingy, null, running),
      decideBudget(worst, defaultPolicy, null, running),
      decideBudget({ ...worst, battery: null }, defaultPolicy, null, running),
      decideBudget({ ...worst, battery: null }, defaultPolicy, small, running),
      decideBudget(withMemory(mebibyte), defaultPolicy, small, running),
      decideBudget(profile, defaultPolicy, small, running),
    ].map(reasonOf)
    expect(reasons).toEqual([
      'paused-by-owner',
      'policy-gives-nothing',
      'on-battery',
      'no-model',
      'not-enough-disk',
      'not-enough-memory',
      null,
    ])
  })

  it.each([{ memoryShare: 0 }, { memoryCapBytes: 0 }, { threadShare: 0 }])('is the policy for %o', (change) => {
    expect(reasonOf(decideBudget(profile, { ...defaultPolicy, ...change }, small, running))).toBe(
      'policy-gives-nothing',
    )
  })

  it('is not the battery while it charges, or when the owner says to go on', () => {
    const plugged = { ...profile, battery: { ...battery, onBattery: false } }
    expect(decideBudget(plugged, defaultPolicy, small, running).kind).toBe('give')
    const unplugged = { ...profile, battery }
    expect(decideBudget(unplugged, { ...defaultPolicy, onBattery: 'continue' }, small, running).kind).toBe('give')
  })

  it('is not a disk whose free space is unknown', () => {
    const unknown = { ...profile, disk: { totalBytes: null, freeBytes: null } }
    expect(decideBudget(unknown, defaultPolicy, small, running).kind).toBe('give')
  })
})

describe('for any machine, policy and model', () => {
  const bytes = fc.oneof(fc.integer({ min: 1, max: 2 ** 44 }), fc.integer({ min: 2 ** 28, max: 2 ** 36 }))
  const share = fc.double({ min: 0, max: 1, noNaN: true })
  const machines = fc
    .record({
      totalBytes: bytes,
      free: share,
      logicalCores: fc.integer({ min: 1, max: 256 }),
      diskFree: fc.option(bytes),
      onBattery: fc.option(fc.boolean()),
    })
    .map(({ totalBytes, free, logicalCores, diskFree, onBattery }) => ({
      ...withMemory(totalBytes, Math.floor(totalBytes * free)),
      cpu: { ...profile.cpu, logicalCores },
      disk: { totalBytes: null, freeBytes: diskFree },
      battery: onBattery === null ? null : { charging: null, onBattery, percent: null },
    }))
  const policies: fc.Arbitrary<Policy> = fc
    .record({
      memoryShare: share,
      memoryCapBytes: fc.option(bytes),
      threadShare: share,
      onBattery: fc.constantFrom('pause', 'continue'),
      diskReserveBytes: fc.constant(0),
      maxSessions: fc.integer({ min: 1, max: 256 }),
    })
    .map((policy) => policySchema.parse(policy))
  const models: fc.Arbitrary<ModelSizes> = fc
    .record({
      blockCount: fc.integer({ min: 1, max: 1024 }),
      contextLength: fc.integer({ min: 1, max: 1 << 24 }),
      blockWeightBytes: fc.integer({ min: 1, max: 2 ** 34 }),
      endsBytes: fc.integer({ min: 0, max: 2 ** 34 }),
      cacheBytesPerPosition: fc.integer({ min: 1, max: 2 ** 22 }),
    })
    .map(({ blockCount, contextLength, ...sizes }) => ({
      ...sizes,
      digest: small.digest,
      config: { blockCount, contextLength },
    }))
  const blocksOf = (budget: Budget) => (budget.kind === 'give' ? budget.blocks : 0)

  it('the budget is well-formed, without NaN, and has a reason when it is nothing', () => {
    const property = fc.property(
      machines,
      policies,
      fc.option(models),
      fc.boolean(),
      (machine, policy, model, paused) => {
        const budget = decideBudget(machine, policy, model, { pausedByOwner: paused })
        expect(budgetSchema.parse(budget)).toEqual(budget)
      },
    )
    fc.assert(property, { numRuns: 500 })
  })

  it('the budget stays within the memory limit, the model and the policy', () => {
    const property = fc.property(machines, policies, models, (machine, policy, model) => {
      const budget = decideBudget(machine, policy, model, running)
      expect(used(budget, model)).toBeLessThanOrEqual(budget.memoryLimitBytes + 1e-6 * budget.memoryLimitBytes)
      expect(budget.memoryLimitBytes).toBeLessThanOrEqual(machine.memory.availableBytes)
      if (budget.kind === 'nothing') return
      expect(budget.blocks).toBeLessThanOrEqual(model.config.blockCount)
      expect(budget.maxLength).toBeLessThanOrEqual(model.config.contextLength)
      expect(budget.maxLength).toBeGreaterThanOrEqual(Math.min(shortestLength, model.config.contextLength))
      expect(budget.sessions).toBeLessThanOrEqual(policy.maxSessions)
      expect(budget.threads).toBeLessThanOrEqual(machine.cpu.logicalCores)
    })
    fc.assert(property, { numRuns: 500 })
  })

  it('more memory never gives fewer blocks', () => {
    const property = fc.property(machines, policies, models, bytes, (machine, policy, model, more) => {
      const { totalBytes, availableBytes } = machine.memory
      const larger = { ...machine, memory: { totalBytes: totalBytes + more, availableBytes: availableBytes + more } }
      const before = decideBudget(machine, policy, model, running)
      expect(blocksOf(decideBudget(larger, policy, model, running))).toBeGreaterThanOrEqual(blocksOf(before))
    })
    fc.assert(property, { numRuns: 500 })
  })
})
