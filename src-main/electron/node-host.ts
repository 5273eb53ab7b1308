/** The node as its process sees it: something that serves the API on message ports until it is stopped. */
import type { MessagePortMain } from 'electron'
import * as z from 'zod'

export const nodeHostOptionsSchema = z.strictObject({
  /** Which of the owner's nodes this is; names its data folder. */
  profile: z.string().regex(/^[a-z0-9][a-z0-9-]{0,31}$/),
  /** Holds `models/` and `licences/` as laid out in the repository's `resources`. */
  resourcesDirectory: z.string().min(1).max(4096),
})
export type NodeHostOptions = Readonly<z.infer<typeof nodeHostOptionsSchema>>

export interface NodeHost {
  /** Serves `contracts/api` on the port until its other end closes. The host starts the port (`port.start()`). */
  attach(port: MessagePortMain): void
  /** Ends sessions and closes everything, within 4 s: after that the shell ends the process. */
  stop(): Promise<void>
}

/** Builds and starts a node. Throws `CodedError` when it cannot, with a code the owner can be told about. */
export type CreateNodeHost = (options: NodeHostOptions) => Promise<NodeHost>
