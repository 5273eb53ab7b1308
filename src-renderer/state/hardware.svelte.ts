/** The machine as last measured, and measuring anew. */
import type { HardwareProfile, Policy } from '#contracts/api/hardware.ts'
import { toFailure } from '../client/failure.ts'
import type { Client } from '../client/link.ts'
import type { Failure } from '../text/errors.ts'
import type { Session } from './session.svelte.ts'

type Measured = { readonly profile: HardwareProfile; readonly policy: Policy }

export type HardwareState = {
  readonly measured: Measured | null
  readonly busy: boolean
  readonly failure: Failure | null
  /** The last measurement, unless it is here already. */
  load(): Promise<void>
  detect(): Promise<void>
}

export function createHardwareState(session: Session): HardwareState {
  let measured = $state.raw<Measured | null>(null)
  let busy = $state.raw(false)
  let failure = $state.raw<Failure | null>(null)

  async function ask(call: (client: Client) => Promise<Measured>): Promise<void> {
    const { client } = session
    if (client === null || busy) return
    busy = true
    failure = null
    try {
      measured = await call(client)
    } catch (error) {
      failure = toFailure(error)
    } finally {
      busy = false
    }
  }

  return {
    get measured() {
      return measured
    },
    get busy() {
      return busy
    },
    get failure() {
      return failure
    },
    async load() {
      if (measured === null) await ask((client) => client.hardware.get())
    },
    detect: () => ask((client) => client.hardware.detect()),
  }
}
