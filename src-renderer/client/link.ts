/** One connection to the node, whatever carries it: the typed client, and the news of its end. */
import type { ContractRouterClient } from '@orpc/contract'
import type { Contract } from '#contracts/api/contract.ts'

export type Client = ContractRouterClient<Contract>

export type Link = {
  readonly client: Client
  /** Settles once, when the connection is gone for whatever reason; never rejects. */
  readonly closed: Promise<void>
  close(): void
}

export type OpenLink = (signal: AbortSignal) => Promise<Link>
