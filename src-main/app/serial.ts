/** Runs asynchronous jobs one after the other, in the order given; a failed job does not stop the next. */
export function createSerial(): <Result>(job: () => Promise<Result>) => Promise<Result> {
  let last: Promise<unknown> = Promise.resolve()
  return (job) => {
    const result = last.then(job, job)
    last = result.catch(() => undefined)
    return result
  }
}
