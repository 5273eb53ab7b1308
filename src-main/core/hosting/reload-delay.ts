/**
 * When blocks whose engine would not run are tried again by themselves: soon after a stumble, later and later when it goes
 * on, because every try reads the weights and the machine is its owner's.
 */
const firstDelayMs = 5_000
const longestDelayMs = 10 * 60_000

/** Pure. `failures` in a row, at least 1. */
export function reloadDelayMs(failures: number): number {
  return Math.min(longestDelayMs, firstDelayMs * 2 ** (failures - 1))
}
