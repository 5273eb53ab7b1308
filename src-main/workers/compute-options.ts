/** What a compute worker is told when it starts. It is the program's own word, but of whichever version started it. */
import * as z from 'zod'

export const computeOptionsSchema = z.strictObject({
  /** `reference`, or one of the catalogue's. */
  backend: z.string().min(1).max(64),
  /** Where imported models lie, and those that ship with the app. They are only read. */
  models: z.strictObject({ directory: z.string().min(1), embedded: z.array(z.string().min(1)) }),
  /** Weights as engines load them; several workers may share the folder. */
  preparedWeights: z.strictObject({ directory: z.string().min(1), limitBytes: z.int().min(0).exactOptional() }),
  /** How far a process stands back for the owner's other programs: 0 (not at all) to 19. A thread can on Linux only. */
  niceness: z.int().min(0).max(19),
})
export type ComputeOptions = Readonly<z.infer<typeof computeOptionsSchema>>

/** As the arguments of the worker's program. */
export function toArguments(options: ComputeOptions): string[] {
  return [JSON.stringify(options)]
}

/** Throws when they are not options of this version. */
export function fromArguments([argument = '']: readonly string[]): ComputeOptions {
  return computeOptionsSchema.parse(JSON.parse(argument))
}
