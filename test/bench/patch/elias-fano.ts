/** Elias-Fano's code (Elias 1974): floor(log2(n / k)) low bits of each of k ascending numbers, and the high ones in unary. */
export function eliasFanoBits(n: number, k: number): number {
  const low = Math.max(0, Math.floor(Math.log2(n / k)))
  return k * low + k + Math.ceil(n / 2 ** low)
}
