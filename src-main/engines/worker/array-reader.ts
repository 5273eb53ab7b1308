import type { WireArray } from './channel.ts'

/** Takes a packet's arrays in order. Throws `TypeError` for one that is missing, of the other kind, or left over. */
export interface ArrayReader {
  floats(): Float32Array
  indices(): Uint32Array
  readonly remaining: number
  end(): void
}

export function createArrayReader(arrays: readonly WireArray[]): ArrayReader {
  let next = 0
  function take<T extends WireArray>(kind: abstract new (...args: never[]) => T): T {
    const array = arrays[next]
    if (!(array instanceof kind)) throw new TypeError(`array ${next} of a message is not a ${kind.name}`)
    next++
    return array
  }
  return {
    floats: () => take(Float32Array),
    indices: () => take(Uint32Array),
    get remaining() {
      return arrays.length - next
    },
    end() {
      if (next !== arrays.length) throw new TypeError(`${arrays.length - next} arrays of a message too many`)
    },
  }
}
