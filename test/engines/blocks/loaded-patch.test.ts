import { describe, expect, test } from 'vitest'
import { tensorNames } from '#contracts/model/manifest.ts'
import type { PatchWeights } from '#core/ports/engine.ts'
import { type BlockVectors, placeVector } from '#engines/blocks/block-vectors.ts'
import { combinePatches, packPatch } from '#engines/blocks/loaded-patch.ts'
import { createWorkspace, WorkspaceFullError } from '#engines/kernels/workspace.ts'
import { splitPatch } from '#engines/shared/patch-split.ts'
import { tinyConfig } from '#test/fakes/model-handle.ts'

const config = tinyConfig({ architecture: 'qwen2', attentionBias: true })
const names = tensorNames.block(1)
const delta = (tensor: string, ...entries: (readonly [number, number])[]) => ({
  tensor,
  indices: Uint32Array.from(entries.map(([index]) => index)),
  values: Float32Array.from(entries.map(([, value]) => value)),
})
const patch = (deltas: PatchWeights['deltas'], scales: PatchWeights['scales'] = []): PatchWeights => ({
  deltas,
  scales,
})
const keyScale = (value: number) => ({
  block: 1,
  target: 'key' as const,
  values: new Float32Array(config.kvHeadCount * config.headSize).fill(value),
})

function create(maximumBytes?: number) {
  const workspace = createWorkspace(maximumBytes === undefined ? {} : { maximumBytes })
  const attentionNorm = placeVector(workspace, new Float32Array(config.hiddenSize).fill(1))
  const base = (): BlockVectors => ({ attentionNorm })
  return {
    workspace,
    base,
    pack: (weights: PatchWeights, span = { start: 0, end: 3 }) =>
      packPatch(workspace, config, splitPatch(weights, config), span),
  }
}

describe('a patch in a runner', () => {
  test('keeps nothing of what lies outside of its blocks', () => {
    const { workspace, pack } = create()
    const before = workspace.bytesInUse
    const packed = pack(patch([delta(names.query, [0, 1])], [keyScale(2)]), { start: 2, end: 3 })
    expect([packed.weightBytes, packed.blocks.size, workspace.bytesInUse]).toEqual([0, 0, before])
  })

  test('puts each matrix where its outputs are in the joint product', () => {
    const { pack } = create()
    const matrices = [names.query, names.key, names.value, names.output, names.gate, names.up, names.down]
    const block = pack(patch(matrices.map((name) => delta(name, [0, 1])))).blocks.get(1)
    const queryRows = config.headCount * config.headSize
    const keyRows = config.kvHeadCount * config.headSize
    const offsets = (product: 'queryKeyValue' | 'output' | 'gateUp' | 'down') =>
      block?.matrices[product]?.map(({ offset }) => offset)
    expect(offsets('queryKeyValue')).toEqual([0, queryRows, queryRows + keyRows])
    expect(offsets('output')).toEqual([0])
    expect(offsets('gateUp')).toEqual([0, config.intermediateSize])
    expect(offsets('down')).toEqual([0])
  })

  test('is freed when its owner and all sessions have let go', () => {
    const { workspace, pack, base } = create()
    const before = workspace.bytesInUse
    const packed = pack(patch([delta(names.query, [5, 1]), delta(names.attentionNorm, [0, 1])]))
    const sessions = [1, 2].map(() => combinePatches(workspace, [packed], base))
    expect(sessions.every(({ blocks }) => blocks.has(1))).toBe(true)
    packed.release()
    sessions[0]?.release()
    expect(workspace.bytesInUse).toBeGreaterThan(before)
    sessions[1]?.release()
    expect(workspace.bytesInUse).toBe(before)
  })

  test('that does not fit leaves nothing behind', () => {
    const { workspace, pack } = create(2 ** 16)
    workspace.allocate(45_000)
    const before = workspace.bytesInUse
    const indices = Uint32Array.from({ length: 64 * 32 }, (_, i) => i)
    const whole = (tensor: string) => ({ tensor, indices, values: new Float32Array(indices.length) })
    // There is room for the first of the two.
    expect(() => pack(patch([whole(names.query), whole(names.output)]))).toThrow(WorkspaceFullError)
    expect(workspace.bytesInUse).toBe(before)
    pack(patch([whole(names.query)]))
  })
})

describe('several patches of one session', () => {
  test('add up in vectors, multiply in scales, and leave the base as it is', () => {
    const { workspace, pack, base } = create()
    const norms = [delta(names.attentionNorm, [0, 2], [3, 5]), delta(names.attentionNorm, [3, -1])]
    const packed = norms.map((norm, i) => pack(patch([norm], [keyScale(i + 2)])))
    const changes = combinePatches(workspace, packed, base).blocks.get(1)
    const norm = workspace.floats(changes?.vectors.attentionNorm ?? 0, config.hiddenSize)
    expect([...norm.subarray(0, 5)]).toEqual([3, 1, 1, 5, 1])
    const scale = workspace.floats(changes?.scales.key ?? 0, 4)
    expect([...scale]).toEqual([6, 6, 6, 6])
    const own = workspace.floats(base().attentionNorm?.pointer ?? 0, config.hiddenSize)
    expect(own.every((value) => value === 1)).toBe(true)
  })

  test('take no memory for what they change in vectors before a block runs', () => {
    const { workspace, pack, base } = create()
    const packed = pack(patch([delta(names.attentionNorm, [0, 2])]))
    const before = workspace.bytesInUse
    const session = combinePatches(workspace, [packed], base)
    expect(workspace.bytesInUse).toBe(before)
    session.release()
    expect(workspace.bytesInUse).toBe(before)
  })
})
