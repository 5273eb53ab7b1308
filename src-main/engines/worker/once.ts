/** The same, but for calls after the first, which do nothing. */
export function once<A extends readonly unknown[]>(act: (...args: A) => void): (...args: A) => void {
  let isDone = false
  return (...args) => {
    if (isDone) return
    isDone = true
    act(...args)
  }
}
