/**
 * The one contract between the UI (or CLI, or tray) and the node. oRPC turns it into a typed client and checks every
 * input and output against its schema on the node's side; the transports are Electron's message port, a loopback
 * WebSocket, and a direct call in tests.
 */
import { eventIterator, oc } from '@orpc/contract'
import * as z from 'zod'
import { errorCodes } from '../errors.ts'
import { generateEventSchema, generateRequestSchema } from './chat.ts'
import {
  engineMeasureEventSchema,
  engineOverviewRequestSchema,
  engineOverviewSchema,
  engineWishSchema,
} from './engine.ts'
import { hardwareProfileSchema, policySchema } from './hardware.ts'
import { ledgerListRequestSchema, ledgerListSchema, ledgerVerifyEventSchema } from './ledger.ts'
import { modelSummarySchema, nodeStatusSchema } from './node.ts'
import {
  followSchema,
  patchDetailSchema,
  patchDiffRequestSchema,
  patchDiffSchema,
  patchExportSchema,
  patchFetchEventSchema,
  patchImportSchema,
  patchListRequestSchema,
  patchListSchema,
  patchRequestSchema,
  patchSearchRequestSchema,
  patchShareSchema,
  patchSummarySchema,
  patchTagSchema,
} from './patches.ts'
import {
  dataInspectEventSchema,
  dataInspectRequestSchema,
  runActionSchema,
  runDetailSchema,
  runPlanSchema,
  runRequestSchema,
  runSummarySchema,
  trainRequestSchema,
  uploadAnswerSchema,
  uploadRequestSchema,
} from './training.ts'

/** Raised when a change would break a client of the version before; exchanged at connect. */
export const apiVersion = 1

/** The one shape in which failures cross the API: a code and parameters. The UI owns the sentence. */
const failure = {
  FAILED: {
    status: 500,
    data: z.object({
      code: z.enum(errorCodes),
      params: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.array(z.number())])),
    }),
  },
} as const

const procedure = oc.errors(failure)

export const contract = {
  /** First call of every client: refuses a client of another version. */
  connect: procedure
    .input(z.strictObject({ apiVersion: z.int() }))
    .output(z.strictObject({ apiVersion: z.int(), version: z.string(), peerId: z.string() })),
  node: {
    status: procedure.output(nodeStatusSchema),
    /** The status now, and again after every change (at most four a second). */
    watch: procedure.output(eventIterator(nodeStatusSchema)),
    /** Stops giving: open sessions end, memory is freed. For `minutes`, or until resumed when null. */
    pause: procedure
      .input(
        z.strictObject({
          minutes: z
            .int()
            .min(1)
            .max(7 * 24 * 60)
            .nullable(),
        }),
      )
      .output(nodeStatusSchema),
    resume: procedure.output(nodeStatusSchema),
  },
  hardware: {
    /** The last measurement and the owner's policy. */
    get: procedure.output(z.strictObject({ profile: hardwareProfileSchema, policy: policySchema })),
    /** Measures anew. */
    detect: procedure.output(z.strictObject({ profile: hardwareProfileSchema, policy: policySchema })),
  },
  engine: {
    overview: procedure.input(engineOverviewRequestSchema).output(engineOverviewSchema),
    /** Measures every backend for the hosted model, seconds each; closing the iterator early stops it and changes nothing. */
    measure: procedure.output(eventIterator(engineMeasureEventSchema)),
    /** What to use from now on; null goes back to what was measured. The blocks are loaded anew when that is another one. */
    choose: procedure.input(engineWishSchema.nullable()).output(engineOverviewSchema),
  },
  models: {
    list: procedure.output(z.array(modelSummarySchema)),
  },
  chat: {
    /** Ends with one `end` or `error` event; closing the iterator early stops the generation. */
    generate: procedure.input(generateRequestSchema).output(eventIterator(generateEventSchema)),
  },
  training: {
    upload: procedure.input(uploadRequestSchema).output(uploadAnswerSchema),
    /** Reads all of the data once: counts, examples, warnings. */
    inspect: procedure.input(dataInspectRequestSchema).output(eventIterator(dataInspectEventSchema)),
    /** What a request would do and take. Starts nothing. */
    plan: procedure.input(trainRequestSchema).output(runPlanSchema),
    /** Queues the run. Throws what the plan's obstacles say. */
    start: procedure.input(trainRequestSchema).output(runSummarySchema),
    runs: procedure.output(z.array(runSummarySchema)),
    show: procedure.input(runRequestSchema).output(runDetailSchema),
    /** The run now, and again after every change (at most four a second). Ends when the run is removed. */
    watch: procedure.input(runRequestSchema).output(eventIterator(runDetailSchema)),
    /** Throws `run-state` for what the run cannot do now. */
    act: procedure.input(runActionSchema).output(z.strictObject({ run: runSummarySchema.nullable() })),
  },
  patches: {
    list: procedure.input(patchListRequestSchema).output(patchListSchema),
    /** The list now, and again after every change (at most four a second). */
    watch: procedure.input(patchListRequestSchema).output(eventIterator(patchListSchema)),
    show: procedure.input(patchRequestSchema).output(patchDetailSchema),
    diff: procedure.input(patchDiffRequestSchema).output(patchDiffSchema),
    /** Asks the swarm for patches on a base; what is found is in the list as `seen`. -> how many were found */
    search: procedure.input(patchSearchRequestSchema).output(z.strictObject({ found: z.int().min(0) })),
    /** Closing the iterator early stops it; what has arrived is kept. */
    fetch: procedure.input(patchRequestSchema).output(eventIterator(patchFetchEventSchema)),
    share: procedure.input(patchShareSchema).output(patchSummarySchema),
    remove: procedure.input(patchRequestSchema).output(z.strictObject({})),
    tag: procedure.input(patchTagSchema).output(z.strictObject({})),
    follow: procedure.input(followSchema).output(z.strictObject({})),
    import: procedure.input(patchImportSchema).output(patchSummarySchema),
    export: procedure.input(patchExportSchema).output(z.strictObject({ path: z.string(), bytes: z.int().min(0) })),
  },
  ledger: {
    list: procedure.input(ledgerListRequestSchema).output(ledgerListSchema),
    verify: procedure.output(eventIterator(ledgerVerifyEventSchema)),
  },
}
export type Contract = typeof contract
