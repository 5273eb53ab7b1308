import * as z from 'zod'

/** A SHA-256 in lower-case hex: the only name under which anything content-addressed is known. */
export const digestSchema = z
  .string()
  .regex(/^[0-9a-f]{64}$/, 'expected 64 lower-case hexadecimal characters')
  .brand<'Digest'>()
export type Digest = z.infer<typeof digestSchema>

/** How a digest is shown to people: its first eight characters. */
export function shortDigest(digest: string): string {
  return digest.slice(0, 8)
}
