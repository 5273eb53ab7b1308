/** Everything the views share, made once and handed down by context. */
import { createContext } from 'svelte'
import type { Connection } from '../client/connection.ts'
import { type Announcer, createAnnouncer } from './announcer.svelte.ts'
import { type ChatState, createChatState } from './chat.svelte.ts'
import { createEngineState, type EngineState } from './engine.svelte.ts'
import { createHardwareState, type HardwareState } from './hardware.svelte.ts'
import { createLedgerState, type LedgerState } from './ledger.svelte.ts'
import { createNodeState, type NodeState } from './node.svelte.ts'
import { createPatchView, type PatchView } from './patch-view.svelte.ts'
import { createPatchesState, type PatchesState } from './patches.svelte.ts'
import { createRoute, type Route } from './route.svelte.ts'
import { createSession, type Session } from './session.svelte.ts'
import { createTrainingState, type TrainingState } from './training.svelte.ts'
import { createTrainingWizard, type TrainingWizard } from './training-wizard.svelte.ts'

export type App = {
  readonly session: Session
  readonly node: NodeState
  readonly hardware: HardwareState
  readonly engine: EngineState
  readonly chat: ChatState
  readonly ledger: LedgerState
  readonly training: TrainingState
  readonly wizard: TrainingWizard
  readonly patches: PatchesState
  readonly patchView: PatchView
  readonly route: Route
  readonly announcer: Announcer
  /** True inside the desktop shell, false in a browser. */
  readonly inShell: boolean
}

export const [useApp, provideApp] = createContext<App>()

export function createApp(connection: Connection, inShell: boolean): App {
  const session = createSession(connection)
  return {
    session,
    node: createNodeState(session),
    hardware: createHardwareState(session),
    engine: createEngineState(session),
    chat: createChatState(session),
    ledger: createLedgerState(session),
    training: createTrainingState(session),
    wizard: createTrainingWizard(session),
    patches: createPatchesState(session),
    patchView: createPatchView(session),
    route: createRoute(),
    announcer: createAnnouncer(),
    inShell,
  }
}
