import type { ArrayReader } from './array-reader.ts'
import type { Connection } from './connection.ts'

/** What a worker of another mind sends must not pass for hidden states: it ends the worker, and throws its failure. */
export function expectFloats(connection: Connection, arrays: ArrayReader, length: number): Float32Array {
  const found = arrays.remaining > 0 ? arrays.floats() : null
  if (found?.length === length) return found
  connection.fail(`answered with ${found?.length ?? 'no'} numbers for ${length}`)
  throw connection.failure
}
