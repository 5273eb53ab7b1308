/**
 * What an arithmetic coder believes of its next bit: one adaptive probability a context. Integers alone, so that encoder and
 * decoder agree on every machine.
 *
 * A probability has 22 bits. The n-th bit seen in a context moves it by 1 / (n + 1.5) of the way to that bit, from some n on
 * (`limit`) always by as much: at first it is the bits' mean, later their recent mean.
 */
const one = 1 << 22
const mostSeen = 1023
/** rates[n] = floor(8192 / (n + 1.5)) */
const rates = Int32Array.from({ length: mostSeen + 1 }, (_, seen) => Math.floor(16_384 / (2 * seen + 3)))

export class BitModels {
  readonly #probabilities: Int32Array
  readonly #seen: Uint16Array
  readonly #limit: number

  /** `limit` is at most 1023. Every context begins at one half. */
  constructor(contexts: number, limit: number) {
    this.#probabilities = new Int32Array(contexts).fill(one >> 1)
    this.#seen = new Uint16Array(contexts)
    this.#limit = limit
  }

  /** As if `seen` bits had been seen with this probability of 1, in 65536ths. */
  begin(context: number, probability: number, seen: number): void {
    this.#probabilities[context] = probability << 6
    this.#seen[context] = seen
  }

  /** Of a 1, in 65536ths, from 32 to 65504. */
  probability(context: number): number {
    const probability = (this.#probabilities[context] as number) >> 6
    if (probability < 32) return 32
    return probability > 65_504 ? 65_504 : probability
  }

  update(context: number, bit: number): void {
    const probability = this.#probabilities[context] as number
    const seen = this.#seen[context] as number
    const step = (((bit === 1 ? one - 1 : 0) - probability) >> 4) * (rates[seen] as number)
    this.#probabilities[context] = probability + (step >> 9)
    if (seen < this.#limit) this.#seen[context] = seen + 1
  }
}
