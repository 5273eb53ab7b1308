/**
 * What this machine may give right now: how many blocks of the model, for how many sessions of what length, on how many
 * threads; or nothing, and the one reason. Pure: everything it depends on is passed in.
 */
import type { Budget, HardwareProfile, NoBudgetReason, Policy } from '#contracts/api/hardware.ts'
import type { Digest } from '#contracts/digest.ts'
import type { ModelConfig } from '#contracts/model/manifest.ts'

/** The sizes of a model that a budget is made of. */
export interface ModelSizes {
  readonly digest: Digest
  readonly config: Pick<ModelConfig, 'blockCount' | 'contextLength'>
  /** One block's weights in memory. */
  readonly blockWeightBytes: number
  /** Embedding, final norm and head in memory: the owner may chat at any time, and needs them to. */
  readonly endsBytes: number
  /** KV cache of one block for one position. */
  readonly cacheBytesPerPosition: number
}

export interface Circumstances {
  readonly pausedByOwner: boolean
  /**
   * Memory this node holds for blocks and caches already. It is missing from `availableBytes`, and without it every new
   * decision would find less than the one before.
   */
  readonly heldBytes?: number
}

/** The processes themselves: the node with libp2p, its worker with the engine's library and the buffers of one forward call. */
export const runtimeBytes = 384 * 1024 ** 2

/** Workers hold 1.1 to 1.3 times a model's weights once they are loaded (measured; docs/experiments/engine.md). */
export const weightFactor = 1.3

/**
 * Of the memory that is available now, the share that may be taken. The rest is for what the owner opens next: a budget
 * made of the installed memory alone starts the machine swapping when something else is using it already.
 */
export const availableShare = 0.85

/** The shortest session worth hosting: a page of prompt and an answer. Shorter only for a model with a shorter context. */
export const shortestLength = 1024

export function decideBudget(
  profile: HardwareProfile,
  policy: Policy,
  model: ModelSizes | null,
  now: Circumstances,
): Budget {
  const memoryLimitBytes = decideMemoryLimit(profile, policy, now.heldBytes ?? 0)
  const nothing = (reason: NoBudgetReason, neededBytes: number | null = null): Budget => {
    return { kind: 'nothing', reason, neededBytes, memoryLimitBytes }
  }
  const reason = whyNot(profile, policy, now)
  if (reason !== null) return nothing(reason)
  if (model === null) return nothing('no-model')
  if (isDiskFull(profile, policy)) return nothing('not-enough-disk')
  const fit = fitBlocks(model, policy.maxSessions, memoryLimitBytes)
  if (fit === null)
    return nothing('not-enough-memory', memoryFor(model, { blocks: 1, sessions: 1, maxLength: shortest(model) }))
  return {
    kind: 'give',
    modelDigest: model.digest,
    ...fit,
    threads: lentThreads(profile, policy),
    weightBytes: fit.blocks * model.blockWeightBytes,
    cacheBytes: cacheBytes(model, fit),
    memoryLimitBytes,
  }
}

/** At least one, where anything is given. */
export function lentThreads({ cpu }: HardwareProfile, { threadShare }: Policy): number {
  return Math.max(1, Math.floor(cpu.logicalCores * threadShare))
}

/**
 * The reasons that hold whatever the model is. When several apply, the one told is the first of: paused-by-owner,
 * policy-gives-nothing, on-battery, no-model, not-enough-disk, not-enough-memory. What the owner has said comes first,
 * because nothing else matters until it is changed; then what passes by itself; then what must be set right.
 */
function whyNot(profile: HardwareProfile, policy: Policy, now: Circumstances): NoBudgetReason | null {
  if (now.pausedByOwner) return 'paused-by-owner'
  if (policy.memoryShare === 0 || policy.memoryCapBytes === 0 || policy.threadShare === 0) return 'policy-gives-nothing'
  if (policy.onBattery === 'pause' && profile.battery?.onBattery === true) return 'on-battery'
  return null
}

/** Unknown free space is no reason to stop. */
function isDiskFull({ disk }: HardwareProfile, policy: Policy): boolean {
  return disk.freeBytes !== null && disk.freeBytes < policy.diskReserveBytes
}

/** The least of the owner's share of all memory, the owner's cap, and the part of what is free now that may be taken. */
function decideMemoryLimit({ memory }: HardwareProfile, policy: Policy, heldBytes: number): number {
  const share = memory.totalBytes * policy.memoryShare
  const cap = policy.memoryCapBytes ?? Number.POSITIVE_INFINITY
  const available = (memory.availableBytes + heldBytes) * availableShare
  return Math.floor(Math.min(share, cap, available))
}

interface Fit {
  readonly blocks: number
  readonly sessions: number
  readonly maxLength: number
}

/**
 * As many blocks as fit with the shortest caches, and then caches as long as those blocks leave room for: whoever hosts
 * a longer span saves a session a hop through the network, whoever hosts a longer context helps only long sessions. When
 * not even one block fits with all sessions, fewer sessions. Null when nothing fits.
 */
function fitBlocks(model: ModelSizes, maxSessions: number, limitBytes: number): Fit | null {
  const room = limitBytes - runtimeBytes - model.endsBytes * weightFactor
  const blockBytes = model.blockWeightBytes * weightFactor
  const shortestCache = model.cacheBytesPerPosition * shortest(model)
  const sessions = clamp(Math.floor((room - blockBytes) / shortestCache), 0, maxSessions)
  if (sessions === 0) return null
  const blocks = clamp(Math.floor(room / (blockBytes + sessions * shortestCache)), 1, model.config.blockCount)
  const roomForCache = room / blocks - blockBytes
  const positions = Math.floor(roomForCache / (sessions * model.cacheBytesPerPosition))
  return { blocks, sessions, maxLength: clamp(positions, shortest(model), model.config.contextLength) }
}

function memoryFor(model: ModelSizes, fit: Fit): number {
  const weights = (model.endsBytes + fit.blocks * model.blockWeightBytes) * weightFactor
  return Math.ceil(runtimeBytes + weights + cacheBytes(model, fit))
}

function cacheBytes(model: ModelSizes, { blocks, sessions, maxLength }: Fit): number {
  return blocks * sessions * maxLength * model.cacheBytesPerPosition
}

function shortest(model: ModelSizes): number {
  return Math.min(shortestLength, model.config.contextLength)
}

function clamp(value: number, least: number, most: number): number {
  return Math.min(Math.max(value, least), most)
}
