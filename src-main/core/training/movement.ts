/**
 * Choosing after a trial: for some steps all numbers are trained, and what each moved is weighed by its Fisher information.
 * F Δ² / 2 is what taking one number's change back would cost (LeCun et al. 1990, Optimal Brain Damage, eq. 5): the entries
 * that cost most are those worth training. The trial's values are thrown away; what is trained starts from the base.
 * Measured in docs/experiments/patches.md: 16 to 52 % more gain than masks by the Fisher information alone.
 */

/** √F |Δ| for each number: in the order of F Δ², and far from the smallest float. `fisher` and both values: one array a tensor. */
export function movementScores(
  fisher: readonly Float32Array[],
  before: readonly Float32Array[],
  after: readonly Float32Array[],
): Float32Array[] {
  return fisher.map((information, t) => {
    const [from, to] = [before[t] as Float32Array, after[t] as Float32Array]
    return information.map((f, i) => Math.sqrt(f) * Math.abs((to[i] as number) - (from[i] as number)))
  })
}
