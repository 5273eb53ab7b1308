/** What the bench asks llama.cpp's process for, and what it answers. */
export type LlamaRequest =
  /** Nothing but how much memory there is. */
  | { readonly kind: 'rest' }
  | { readonly kind: 'load'; readonly path: string; readonly threads: number; readonly contextLength: number }
  /** The tokens through the blocks, from an empty cache; no logits. */
  | { readonly kind: 'prefill'; readonly tokens: readonly number[] }
  /** From an empty cache: whatever was decoding before ends. */
  | { readonly kind: 'begin'; readonly tokens: readonly number[] }
  /** The likeliest next tokens, one after the other. */
  | { readonly kind: 'decode'; readonly count: number }
  /** The likeliest next token after each of the tokens. */
  | { readonly kind: 'top1'; readonly tokens: readonly number[] }

export type LlamaAnswer =
  | {
      /** Of the call inside the process. */
      readonly ms: number
      readonly tokens: readonly number[]
      readonly residentBytes: number
    }
  | { readonly error: string }
