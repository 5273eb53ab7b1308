/** What a worker of another mind sends must not pass for an answer: it ends the worker, and throws its failure. */
import type { ArrayReader } from './array-reader.ts'
import type { Connection } from './connection.ts'

export function expectFloats(connection: Connection, arrays: ArrayReader, length: number): Float32Array {
  const found = arrays.remaining > 0 ? arrays.floats() : null
  if (found?.length === length) return found
  return refuse(connection, found, length)
}

export function expectTargets(connection: Connection, arrays: ArrayReader, length: number): Uint32Array {
  const found = arrays.remaining > 0 ? arrays.indices() : null
  if (found?.length === length) return found
  return refuse(connection, found, length)
}

function refuse(connection: Connection, found: ArrayLike<number> | null, length: number): never {
  connection.fail(`answered with ${found?.length ?? 'no'} numbers for ${length}`)
  throw connection.failure
}
