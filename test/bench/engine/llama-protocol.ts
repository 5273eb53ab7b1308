/** What the bench asks llama.cpp's process for, and what it answers. */
export type LlamaRequest =
  | { readonly kind: 'load'; readonly path: string; readonly threads: number; readonly contextLength: number }
  | { readonly kind: 'prefill'; readonly tokens: readonly number[] }
  | { readonly kind: 'decode'; readonly count: number }
  | { readonly kind: 'greedy'; readonly tokens: readonly number[]; readonly count: number }
  | { readonly kind: 'top1'; readonly tokens: readonly number[] }

export interface LlamaAnswer {
  /** Of the call inside the process. */
  readonly ms: number
  readonly tokens?: readonly number[]
  readonly residentBytes: number
}
