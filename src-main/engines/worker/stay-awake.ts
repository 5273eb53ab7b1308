/**
 * Between two calls of one token a worker waits for less than a millisecond. Asleep it would be woken for each, which takes
 * about as long as a small block: so for a moment after an answer it keeps looking, and sleeps when nothing came.
 */

/** Longer than the next call takes to come, shorter than anyone notices. */
const awakeMs = 0.4

/** To be called after each answer. */
export function createStayAwake(): () => void {
  let until = 0
  let looking = false

  /** A turn of the event loop looks for what has come and does not wait for it. */
  function look(): void {
    if (performance.now() < until) setImmediate(look)
    else looking = false
  }

  return () => {
    until = performance.now() + awakeMs
    if (looking) return
    looking = true
    setImmediate(look)
  }
}
