/** How both sides of a session count positions, so that host and client write the same figures into their ledgers. */
export interface TokenCounts {
  readonly tokensIn: number
  readonly tokensOut: number
}

export const noTokens: TokenCounts = { tokensIn: 0, tokensOut: 0 }

/**
 * `counts` after a step of `tokens` positions at `position`: a single one after the first continues a text, anything else
 * is context (a prompt, or a replay after a failover).
 */
export function countStep(counts: TokenCounts, position: number, tokens: number): TokenCounts {
  const { tokensIn, tokensOut } = counts
  return position > 0 && tokens === 1
    ? { tokensIn, tokensOut: tokensOut + 1 }
    : { tokensIn: tokensIn + tokens, tokensOut }
}
