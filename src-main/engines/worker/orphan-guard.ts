/**
 * A thread of a worker process that ends the process once its parent is gone. The process finds that out by itself when it
 * is idle; one that computes without a pause, or hangs, would go on for nobody.
 */
import { workerData } from 'node:worker_threads'

const lookEveryMs = 1_000
const parent = Number(workerData)

function isGone(): boolean {
  // Elsewhere an orphan gets another parent; on Windows it keeps the number of the one it had.
  if (process.ppid !== parent) return true
  try {
    process.kill(parent, 0)
    return false
  } catch {
    return true
  }
}

setInterval(() => {
  if (isGone()) process.kill(process.pid, 'SIGKILL')
}, lookEveryMs)
