/** What a probe of a backend found out, as it passes from the probing process to the one that asked. */
import * as z from 'zod'
import { weightFormats } from '#core/ports/engine.ts'

const text = z.string().max(500)

export const probeReportSchema = z.discriminatedUnion('kind', [
  /** These formats' products are right. */
  z.strictObject({ kind: z.literal('works'), formats: z.array(z.enum(weightFormats)).min(1) }),
  /** A package, a library it wants, or the runtime's part for it is missing. */
  z.strictObject({ kind: z.literal('not-installed'), detail: text }),
  /** It found no device or driver to use. */
  z.strictObject({ kind: z.literal('no-device'), detail: text }),
  /** It ran, and its products are wrong in every format. */
  z.strictObject({ kind: z.literal('wrong-results'), detail: text }),
  z.strictObject({ kind: z.literal('crashed'), detail: text }),
  z.strictObject({ kind: z.literal('timed-out'), detail: text }),
  /** There is no way here to start a process to try it in. */
  z.strictObject({ kind: z.literal('untried'), detail: text }),
])
export type ProbeReport = Readonly<z.infer<typeof probeReportSchema>>
