/** A whole node whose surroundings are fakes: a random model, the reference engine, a swarm and a ledger in memory. */
import { randomUUID } from 'node:crypto'
import { systemClock } from '#adapters/files/system-clock.ts'
import { createMemoryIdentity } from '#adapters/keys/identity.ts'
import { createSignatureVerifier } from '#adapters/keys/signature-verifier.ts'
import { createNode, type NodeInit, type QuiltbeeNode } from '#app/create-node.ts'
import type { HardwareProfile } from '#contracts/api/hardware.ts'
import { defaultPolicy } from '#core/budget/default-policy.ts'
import { ModelNotFoundError } from '#core/errors.ts'
import type { Engine } from '#core/ports/engine.ts'
import type { ModelHandle, ModelStore } from '#core/ports/model-store.ts'
import type { Settings, SettingsStore } from '#core/ports/settings-store.ts'
import { createReferenceEngine } from '#engines/reference/reference-engine.ts'
import { createFakeEngines, type FakeEngines } from '#test/fakes/fake-engines.ts'
import { idlePatchDesk, idlePatches, idleTraining } from '#test/fakes/idle-desks.ts'
import { createInMemoryLedgerStore, createKeptLedger, type KeptLedger } from '#test/fakes/in-memory-ledger-store.ts'
import { createInMemorySwarms, type InMemorySwarms } from '#test/fakes/in-memory-swarm.ts'
import { randomModel, tinyConfig } from '#test/fakes/model-handle.ts'

export interface FakeSurroundings {
  readonly node: QuiltbeeNode
  readonly settings: SettingsStore & { current: Settings }
  readonly machine: { profile: HardwareProfile }
  readonly kept: KeptLedger
  readonly peerId: string
  readonly engines: FakeEngines
}

const gibibyte = 2 ** 30

export const roomyMachine: HardwareProfile = {
  measuredAtMs: 0,
  platform: 'linux x64',
  cpu: { model: 'Test CPU', physicalCores: 4, logicalCores: 8, simd: ['avx2'] },
  memory: { totalBytes: 16 * gibibyte, availableBytes: 12 * gibibyte },
  gpus: [],
  disk: { totalBytes: 500 * gibibyte, freeBytes: 300 * gibibyte },
  battery: null,
}

export async function nodeOfFakes(
  options: {
    readonly init?: Partial<NodeInit>
    readonly swarms?: InMemorySwarms
    readonly engine?: Engine
    readonly engines?: FakeEngines
    readonly models?: readonly ModelHandle[]
    readonly profile?: HardwareProfile
  } = {},
): Promise<FakeSurroundings> {
  const identity = await createMemoryIdentity()
  const swarms = options.swarms ?? createInMemorySwarms({ clock: systemClock })
  const models = options.models ?? [randomModel(tinyConfig(), 1)]
  const kept = createKeptLedger()
  const settings = createSettings()
  const engines = options.engines ?? createFakeEngines(options.engine ?? createReferenceEngine())
  const machine = { profile: options.profile ?? roomyMachine }
  const node = createNode(
    {
      clock: systemClock,
      logger: { debug() {}, info() {}, warn() {}, error() {} },
      verifier: createSignatureVerifier(),
      swarm: swarms.create(identity.peerId),
      ledger: createInMemoryLedgerStore({ identity, kept }),
      compute: engines.compute,
      engines: engines.survey,
      models: storeOf(models),
      probe: { measure: async () => machine.profile },
      settings,
      patches: idlePatches,
      patchDesk: idlePatchDesk(),
      training: idleTraining,
      newSessionId: randomUUID,
      drawSeed: () => 7,
    },
    { version: '0.0.0-test', model: models[0]?.manifest.name ?? '', blocks: 'auto', ...options.init },
  )
  return { node, settings, machine, kept, engines, peerId: identity.peerId }
}

function storeOf(models: readonly ModelHandle[]): ModelStore {
  return {
    list: async () => models.map(({ manifest }) => manifest),
    async open(name) {
      const found = models.find(({ manifest }) => manifest.name === name || manifest.digest.startsWith(name))
      if (!found) throw new ModelNotFoundError(name)
      return found
    },
    import: async () => {
      throw new Error('nothing is imported in these tests')
    },
  }
}

function createSettings(): SettingsStore & { current: Settings } {
  return {
    current: { nodeName: 'test-node', policy: defaultPolicy, pausedUntil: null },
    async read() {
      return this.current
    },
    async write(settings) {
      this.current = settings
    },
  }
}
