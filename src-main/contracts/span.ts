import * as z from 'zod'

/** More blocks than any model has; keeps arrays made from a span small. */
export const maximumBlockCount = 1024

/** `[start, end)` of a model's blocks. */
export const spanSchema = z
  .strictObject({
    start: z.int().min(0).max(maximumBlockCount),
    end: z.int().min(1).max(maximumBlockCount),
  })
  .refine((span) => span.start < span.end, { message: 'a span ends after it starts' })
export type Span = Readonly<z.infer<typeof spanSchema>>

export function spanLength(span: Span): number {
  return span.end - span.start
}

export function spanCovers(outer: Span, inner: Span): boolean {
  return outer.start <= inner.start && inner.end <= outer.end
}

/** `2:4`, the form used on the command line and in messages. */
export function formatSpan(span: Span): string {
  return `${span.start}:${span.end}`
}
