/**
 * How fast a machine trains that has not trained yet, by what its processor can do at once: careful figures, so that a
 * run rather ends before it was expected to. The first run measures, and its figure is taken from then on.
 */

/** Floating-point operations a second that one thread reaches in training, by instruction set; the best one counts. */
const perThread: readonly (readonly [set: RegExp, operations: number])[] = [
  [/^avx512f/, 50e9], // 91e9 measured on one thread of an EPYC of 2024
  [/^(avx2|fma)/, 25e9],
  [/^(sve|neon|asimd|feat_advsimd|advsimd)/, 15e9],
]
const withoutAny = 4e9

/** `simd`: the processor's instruction sets, in lower case; null when they are not known. */
export function assumedOperationsPerSecond(simd: readonly string[] | null, threads: number): number {
  const best = perThread.find(([set]) => simd?.some((one) => set.test(one)))
  return threads * (best?.[1] ?? withoutAny)
}
