/** One computation at a time, in the order in which they came. */
export interface Turns {
  run<T>(work: () => Promise<T>): Promise<T>
  /** Resolves when all that was asked for so far has ended, well or not. */
  idle(): Promise<void>
}

export function createTurns(): Turns {
  let last: Promise<unknown> = Promise.resolve()
  return {
    run(work) {
      const result = last.then(work)
      // Not the result: it would be kept until the next call, and a gradient is as large as its weights.
      const ended = () => undefined
      last = result.then(ended, ended)
      return result
    },
    async idle() {
      await last
    },
  }
}
