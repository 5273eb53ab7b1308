/** Runs asynchronous work one at a time, in the order it was asked for; a failure concerns only who asked. */
export interface SerialQueue {
  add<T>(work: () => T | Promise<T>): Promise<T>
}

export function createSerialQueue(): SerialQueue {
  let tail: Promise<unknown> = Promise.resolve()
  return {
    add(work) {
      const result = tail.then(work)
      tail = result.catch(() => undefined)
      return result
    },
  }
}
