/** Training data as files: read as a stream of documents, never all at once. */
import type { DataFile, DataWarning, dataFormats } from '#contracts/api/training.ts'

/** What one record of a file says. */
export type DocumentBody =
  | { readonly kind: 'text'; readonly text: string }
  /** Only the completion is learnt. */
  | { readonly kind: 'completion'; readonly prompt: string; readonly completion: string }
  /** Only what the assistant says is learnt. */
  | {
      readonly kind: 'chat'
      readonly messages: readonly { readonly role: 'system' | 'user' | 'assistant'; readonly content: string }[]
    }
  | { readonly kind: 'choice'; readonly question: string; readonly choices: readonly string[]; readonly answer: number }

export interface DataDocument {
  /** File name and line, for people. */
  readonly where: string
  readonly file: number
  readonly body: DocumentBody
}

export interface DataSource {
  /** Throws `DataFormatError` for files that are none of the formats, `StorageError` for those that cannot be read. */
  open(
    files: readonly DataFile[],
    options?: {
      readonly signal?: AbortSignal
      readonly onProgress?: (progress: { readonly bytesDone: number; readonly bytesTotal: number }) => void
    },
  ): Promise<OpenData>
  /** Takes a piece of an upload; see `uploadRequestSchema`. */
  upload(piece: {
    readonly id: string | null
    readonly name: string
    readonly offset: number
    readonly bytes: Uint8Array
  }): Promise<{ readonly id: string; readonly name: string; readonly byteLength: number }>
  /** Copies the files into `directory`, so that a run has them whatever becomes of the originals. -> files that name the copies */
  keep(files: readonly DataFile[], directory: string): Promise<readonly DataFile[]>
}

export interface OpenData {
  readonly files: readonly {
    readonly name: string
    readonly format: (typeof dataFormats)[number]
    readonly bytes: number
  }[]
  /** In the files' order. May be iterated once. */
  documents(): AsyncIterable<DataDocument>
  /** What the reading itself found (`not-utf8`, `records-skipped`); complete after `documents` has ended. */
  warnings(): readonly DataWarning[]
}
