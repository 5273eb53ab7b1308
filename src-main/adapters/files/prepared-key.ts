import * as z from 'zod'
import { digestSchema } from '#contracts/digest.ts'
import { InvalidInputError } from '#contracts/errors.ts'
import type { PreparedKey } from '#core/ports/weight-cache.ts'

/** No dots, so that the parts of a file's name cannot run together; no capitals, so that a case-blind disk keeps two apart. */
const word = z
  .string()
  .regex(/^[a-z0-9](?:[a-z0-9-]{0,46}[a-z0-9])?$/, 'lower-case letters, digits and inner dashes, at most 48')
const keySchema = z.strictObject({ modelDigest: digestSchema, part: word, layout: word })

const suffix = '.weights'

/** `<digest>.<part>.<layout>.weights`: another name for every other key. Throws `InvalidInputError` naming the field. */
export function preparedFileName(key: PreparedKey): string {
  const parsed = keySchema.safeParse(key)
  if (parsed.success) return `${parsed.data.modelDigest}.${parsed.data.part}.${parsed.data.layout}${suffix}`
  const issue = parsed.error.issues[0]
  throw new InvalidInputError(`prepared weights, ${issue?.path.join('.') ?? 'key'}`, issue?.message ?? 'malformed')
}

/** The key that a file in the cache's folder is named after; null for any other file. */
export function parsePreparedFileName(name: string): PreparedKey | null {
  const [modelDigest, part, layout, ...rest] = name.split('.')
  if (rest.join('.') !== suffix.slice(1)) return null
  return keySchema.safeParse({ modelDigest, part, layout }).data ?? null
}
