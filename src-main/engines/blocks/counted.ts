/** A thing with several holders that is freed when the last lets go: memory outside of garbage collection's reach. */
export interface Counted {
  hold(): void
  release(): void
}

/** Starts with one holder. */
export function createCounted(free: () => void): Counted {
  let holders = 1
  return {
    hold() {
      holders++
    },
    release() {
      holders--
      if (holders === 0) free()
    },
  }
}
