/** What is taken from a hub, and from whoever names something there. Nothing else of its answers is looked at. */
import * as z from 'zod'
import { InvalidInputError } from '#contracts/errors.ts'

/** Git's own limit is far above; a model's weights come in files of some 5 or 50 GB. */
const maximumFileBytes = 2 ** 40
export const maximumFiles = 10_000

const word = '[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?'
const repositorySchema = z
  .string()
  .regex(new RegExp(`^${word}/${word}$`), 'expected OWNER/NAME')
  .refine((name) => !/\.\.|--/.test(name), 'expected OWNER/NAME')

/** A branch, tag or commit. Branches may have slashes, which the hub wants written as %2F. */
const revisionSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/, 'expected a branch, tag or commit')
  .refine((name) => !name.includes('..'), 'expected a branch, tag or commit')

/** No segment that begins or ends with a dot: so none leads upwards, and none changes its name on Windows. */
const segment = '[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?'
export const filePathSchema = z.string().regex(new RegExp(`^${segment}(?:/${segment}){0,3}$`))

export const commitSchema = z.string().regex(/^[0-9a-f]{40}$/)

export const fileEntrySchema = z.object({
  type: z.literal('file'),
  path: filePathSchema,
  size: z.int().min(0).max(maximumFileBytes),
  oid: z.string().regex(/^[0-9a-f]{40}$/),
  lfs: z
    .object({
      oid: z.string().regex(/^[0-9a-f]{64}$/),
      size: z.int().min(0).max(maximumFileBytes),
    })
    .optional(),
})

const licenceName = z.string().min(1).max(128)

export const modelInfoSchema = z.object({
  sha: commitSchema,
  /** A licence that is none of the known ones is called `other` and has its name beside it. */
  cardData: z
    .object({
      license: z
        .union([licenceName, z.array(licenceName).max(16)])
        .optional()
        .catch(undefined),
      license_name: licenceName.optional().catch(undefined),
    })
    .optional()
    .catch(undefined),
})

export const configFileSchema = z.object({
  model_type: z.string().max(64).optional().catch(undefined),
  num_hidden_layers: z.int().min(1).max(65_536).optional().catch(undefined),
})

export function checkedRepository(name: string): string {
  return checked('repository', repositorySchema, name)
}

export function checkedRevision(name: string): string {
  return checked('revision', revisionSchema, name)
}

function checked<T>(where: string, schema: z.ZodType<T>, value: unknown): T {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  throw new InvalidInputError(where, parsed.error.issues[0]?.message ?? 'malformed')
}
