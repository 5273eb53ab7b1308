/** Documents as an open data source would give them, without files. */
import type { DataWarning } from '#contracts/api/training.ts'
import type { DataDocument, DocumentBody, OpenData } from '#core/ports/data-source.ts'

export function openDocuments(
  bodies: readonly (DocumentBody | string)[],
  { file = 'notes.txt', warnings = [] }: { file?: string; warnings?: readonly DataWarning[] } = {},
): OpenData {
  return {
    files: [{ name: file, format: 'text', bytes: 1 }],
    async *documents(): AsyncGenerator<DataDocument> {
      for (const [index, body] of bodies.entries()) {
        const where = `${file}:${index + 1}`
        yield { where, file: 0, body: typeof body === 'string' ? { kind: 'text', text: body } : body }
      }
    },
    warnings: () => warnings,
  }
}

/** Text of `count` words that no other text has. */
export function inventWords(count: number, name: string): string {
  return Array.from({ length: count }, (_, index) => `${name}${index}`).join(' ')
}
