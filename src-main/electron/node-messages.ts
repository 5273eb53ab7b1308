/** What the shell and the node's process say to each other besides the API. Parsed on arrival like anything from outside. */
import * as z from 'zod'
import { type ErrorCode, type ErrorParams, errorCodes } from '#contracts/errors.ts'
import { nodeHostOptionsSchema } from './node-host.ts'

export const toNodeSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('start'), options: nodeHostOptionsSchema }),
  /** Comes with exactly one port. */
  z.strictObject({ type: z.literal('connect') }),
  z.strictObject({ type: z.literal('stop') }),
])
export type ToNode = z.infer<typeof toNodeSchema>

export const fromNodeSchema = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('ready') }),
  /** The node could not start, and would not the next time either: the owner has to do something. */
  z.strictObject({
    type: z.literal('failed'),
    code: z.enum(errorCodes),
    params: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.number())])),
  }),
])
export type FromNode =
  | { readonly type: 'ready' }
  | { readonly type: 'failed'; readonly code: ErrorCode; readonly params: ErrorParams }
