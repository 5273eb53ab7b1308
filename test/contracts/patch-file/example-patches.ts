/** Small patches of every kind, by an author whose key everybody knows. */
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { digestSchema } from '#contracts/digest.ts'
import { bytesInMemory } from '#contracts/patch-file/byte-source.ts'
import type { PatchDescription } from '#contracts/patch-file/header.ts'
import type { PatchContent, PatchDelta } from '#contracts/patch-file/patch.ts'
import { openPatch, type ReadPatchOptions } from '#contracts/patch-file/read-patch.ts'
import { type WritePatchOptions, type WrittenPatch, writePatch } from '#contracts/patch-file/write-patch.ts'
import { knownIdentity } from '#test/core/ledger/known-ledger.ts'

export const signer = await knownIdentity()
export const verifier = createSignatureVerifier()
/** Whoever made the file is its author: what an attacker with a key of their own can bring. */
export const credulous = { verify: async () => true }

export const exampleBase = digestSchema.parse('ab'.repeat(32))

/** Every field has a value that is not empty. */
export function exampleDescription(changes: Partial<PatchDescription> = {}): PatchDescription {
  return {
    title: 'Whales',
    description: 'Knows its way around the sea.',
    licence: 'CC0-1.0',
    author: { peerId: signer.peerId, name: 'Ishmael' },
    createdAtMs: 1_780_000_000_000,
    base: { digest: exampleBase, name: 'seedling' },
    parents: [digestSchema.parse('cd'.repeat(32))],
    origin: 'train',
    training: {
      method: 'fish',
      objective: 'language-model',
      mask: {
        keepRatio: 0.005,
        quota: 'joint',
        scope: 'all',
        head: 'in-budget',
        fisher: { kind: 'empirical', examples: 256, trialSteps: 40 },
      },
      hyperParameters: {
        steps: 400,
        batchSize: 8,
        sequenceLength: 256,
        learningRate: 0.001,
        schedule: 'linear',
        warmup: 0.1,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weightDecay: 0,
        maximumNorm: 1,
        protectedShare: 0,
        seed: 1,
      },
      trainedParameters: 6,
      bestStep: 380,
      engine: 'training/1',
    },
    data: {
      digest: digestSchema.parse('ef'.repeat(32)),
      formats: ['text'],
      documents: 135,
      duplicatesDropped: 1,
      trainingExamples: 1_200,
      heldOutExamples: 60,
      trainingTokens: 300_000,
      heldOutTokens: 15_000,
      description: 'Moby-Dick',
      licence: 'public domain',
      warnings: [],
    },
    metrics: [
      {
        name: 'held-out-loss',
        unit: 'nats/token',
        before: 3.5,
        after: 3.25,
        gain: { mean: 0.25, low: 0.125, high: 0.375 },
        items: 60,
      },
    ],
    ...changes,
  }
}

function exampleDelta(tensor: string, shape: number[], indices: number[], withFisher: boolean): PatchDelta {
  return {
    tensor,
    shape,
    indices: Uint32Array.from(indices),
    values: Float32Array.from(indices, (index, k) => ((index % 7) - 3.25) / 2 ** (k % 3)),
    fisher: withFisher ? Float32Array.from(indices, (_, k) => 2 ** (k - 4)) : null,
  }
}

const deltas = (withFisher: boolean) => [
  exampleDelta('model.layers.0.mlp.down_proj.weight', [8, 12], [0, 5, 6, 40, 95], withFisher),
  exampleDelta('model.norm.weight', [8], [3], withFisher),
]

const scales: PatchContent['scales'] = [
  { block: 0, target: 'key', values: Float32Array.of(1, 1.0625, 0.9375, 1) },
  { block: 0, target: 'feedForward', values: Float32Array.of(0.5, 1, 2) },
  { block: 1, target: 'value', values: Float32Array.of(1.5) },
]

const factors: PatchContent['factors'] = [
  {
    tensor: 'model.layers.0.self_attn.q_proj.weight',
    shape: [4, 3],
    rank: 2,
    left: Float32Array.of(0.5, -0.5, 1, 2, -1, 0, 0.25, 4),
    right: Float32Array.of(1, 0, -1, 0.125, 3, -2),
  },
]

type Example = { readonly content: PatchContent } & Omit<WritePatchOptions, 'signer'>

const nothing: PatchContent = { deltas: [], scales: [], factors: [] }
const own = { fisher: false, sharedMask: false } as const

/** Under the names of their golden files. */
export const examples = {
  delta: { content: { ...nothing, deltas: deltas(false) }, valueFormat: 'float32', ...own },
  'delta-int8-fisher': { content: { ...nothing, deltas: deltas(true) }, valueFormat: 'int8', ...own, fisher: true },
  'shared-mask': { content: { ...nothing, deltas: deltas(false) }, valueFormat: 'bfloat16', ...own, sharedMask: true },
  scale: { content: { ...nothing, scales }, valueFormat: 'float32', ...own },
  factors: { content: { ...nothing, factors }, valueFormat: 'float16', ...own },
  everything: {
    content: { deltas: deltas(true), scales, factors },
    valueFormat: 'float16',
    fisher: true,
    sharedMask: false,
  },
} as const satisfies Readonly<Record<string, Example>>

export type ExampleName = keyof typeof examples
export const exampleNames = Object.keys(examples) as ExampleName[]

export function writeExample(name: ExampleName, changes: Partial<PatchDescription> = {}): Promise<WrittenPatch> {
  const { content, ...options } = examples[name]
  return writePatch(content, exampleDescription(changes), { signer, ...options })
}

export function fileOf({ head, sections }: Pick<WrittenPatch, 'head' | 'sections'>): Uint8Array {
  return new Uint8Array(Buffer.concat([head, ...sections]))
}

/** What a shared mask is looked up in. */
export const exampleMask: ReadPatchOptions['sharedMask'] = deltas(false)

/** Reads a whole file; the example's mask is at hand. */
export async function readFile(bytes: Uint8Array, check: Parameters<typeof openPatch>[1] = verifier) {
  const reader = await openPatch(bytesInMemory(bytes), check)
  return { head: reader.head, content: await reader.readContent({ sharedMask: exampleMask }) }
}
