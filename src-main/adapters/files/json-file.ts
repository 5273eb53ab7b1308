import { readFile, stat } from 'node:fs/promises'
import type * as z from 'zod'
import { CodedError, InvalidInputError } from '#contracts/errors.ts'

/** Small files only: settings and addresses, never data. */
const maximumJsonBytes = 1 << 20

/**
 * Reads and checks a JSON file; null when it does not exist. Throws `InvalidInputError` naming the file and the field when
 * it is not what the schema says, `storage-failed` when it cannot be read.
 */
export async function readJsonFile<Output>(path: string, schema: z.ZodType<Output>): Promise<Output | null> {
  const text = await readSmallFile(path)
  if (text === null) return null
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new InvalidInputError(path, 'not valid JSON', { cause })
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const issue = parsed.error.issues[0]
  throw new InvalidInputError(`${path}: ${issue?.path.join('.') ?? ''}`, issue?.message ?? 'does not fit its schema')
}

async function readSmallFile(path: string): Promise<string | null> {
  try {
    const { size } = await stat(path)
    if (size > maximumJsonBytes) throw new InvalidInputError(path, `larger than ${maximumJsonBytes} bytes`)
    return await readFile(path, 'utf8')
  } catch (cause) {
    if (cause instanceof CodedError) throw cause
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return null
    throw new CodedError('storage-failed', `could not read ${path}`, { path }, { cause })
  }
}
