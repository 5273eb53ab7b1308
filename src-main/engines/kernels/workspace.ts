/**
 * The memory that kernels work in: one WebAssembly memory, from which activations, KV pages and patches are taken. It grows
 * as needed, up to a limit, and never shrinks; what is given back is used again.
 *
 * A place is a number, a byte offset, and stays valid until it is freed. A view (`floats`, `bytes` …) does not: when the
 * memory grows, every view made before is detached (its length becomes 0). So make views late and keep none across an
 * allocation or an `await`.
 */
import { CodedError } from '#contracts/errors.ts'
import { createRegionAllocator } from './region-allocator.ts'

/** A byte offset in a workspace's memory. Never 0. */
export type Pointer = number

/** What is asked for does not fit in the workspace's limit, or the system gave no more memory. Nothing changed. */
export class WorkspaceFullError extends CodedError {
  constructor(wantedBytes: number, inUseBytes: number, maximumBytes: number, options?: { cause?: unknown }) {
    const message = `${wantedBytes} bytes asked for, ${inUseBytes} of ${maximumBytes} in use`
    super('budget-exceeded', message, { neededBytes: inUseBytes + wantedBytes, limitBytes: maximumBytes }, options)
  }
}

export interface Workspace {
  readonly memory: WebAssembly.Memory
  readonly maximumBytes: number
  /** Bytes taken and not freed. */
  readonly bytesInUse: number
  /** Bytes that the memory has grown to: what it costs the system. */
  readonly committedBytes: number
  /** A region of its own, aligned to 64 bytes, contents undefined. Throws `WorkspaceFullError`. */
  allocate(bytes: number): Pointer
  /** Throws `RangeError` for what is not allocated. */
  free(pointer: Pointer): void
  /**
   * The region called `name`, at least `bytes` long: for what lives for one call. The next call with the same name gets the
   * same region, or a larger one without the contents. Throws `WorkspaceFullError`; what had the name is kept then.
   */
  scratch(name: string, bytes: number): Pointer
  /** Pages of one size; their owner counts who uses a page. */
  createPages(pageBytes: number): Pages
  floats(pointer: Pointer, length: number): Float32Array<ArrayBuffer>
  integers(pointer: Pointer, length: number): Int32Array<ArrayBuffer>
  bytes(pointer: Pointer, length: number): Uint8Array<ArrayBuffer>
}

/** Pages of one size. */
export interface Pages {
  readonly pageBytes: number
  readonly pagesInUse: number
  /** A page, contents undefined. Throws `WorkspaceFullError`. */
  take(): Pointer
  /** Gives a page back to the workspace. Throws `RangeError` for what is not a page in use. */
  give(page: Pointer): void
}

const wasmPageBytes = 65536

/** All that 32-bit addresses reach, but for the last page: so the end of a region is an address too. */
export const largestWorkspaceBytes = 2 ** 32 - wasmPageBytes

/** The first bytes stay unused, so that no pointer is 0. */
const reservedBytes = 1024

/** An empty workspace. Its memory is freed when nothing refers to it any more. */
export function createWorkspace({ maximumBytes = largestWorkspaceBytes }: { maximumBytes?: number } = {}): Workspace {
  const maximumPages = Math.floor(Math.min(maximumBytes, largestWorkspaceBytes) / wasmPageBytes)
  const memory = new WebAssembly.Memory({ initial: Math.min(1, maximumPages), maximum: maximumPages })
  const regions = createRegionAllocator(reservedBytes)
  const scratches = new Map<string, { readonly pointer: Pointer; readonly bytes: number }>()
  if (maximumPages > 0) regions.extend(wasmPageBytes - reservedBytes)

  function allocate(bytes: number): Pointer {
    const place = regions.take(bytes)
    if (place !== undefined) return place
    grow(bytes)
    return regions.take(bytes) as Pointer
  }

  /** Makes room for `bytes` in one piece: an eighth more than there is if that is allowed, else just what is missing. */
  function grow(bytes: number): void {
    const pages = memory.buffer.byteLength / wasmPageBytes
    const missing = Math.ceil(regions.missing(bytes) / wasmPageBytes)
    const added = Math.max(missing, Math.min(pages >>> 3, maximumPages - pages))
    const tries = added > missing ? [added, missing] : [missing]
    let cause: unknown
    for (const count of tries) {
      try {
        memory.grow(count)
        regions.extend(count * wasmPageBytes)
        return
      } catch (error) {
        cause = error
      }
    }
    throw new WorkspaceFullError(bytes, regions.bytesInUse, maximumPages * wasmPageBytes, { cause })
  }

  function scratch(name: string, bytes: number): Pointer {
    const held = scratches.get(name)
    if (held !== undefined && held.bytes >= bytes) return held.pointer
    const pointer = allocate(bytes)
    if (held !== undefined) regions.give(held.pointer)
    scratches.set(name, { pointer, bytes })
    return pointer
  }

  function createPages(pageBytes: number): Pages {
    const pages = new Set<Pointer>()
    return {
      pageBytes,
      get pagesInUse() {
        return pages.size
      },
      take() {
        const page = allocate(pageBytes)
        pages.add(page)
        return page
      },
      give(page) {
        if (!pages.delete(page)) throw new RangeError(`${page} is no page in use`)
        regions.give(page)
      },
    }
  }

  return {
    memory,
    maximumBytes: maximumPages * wasmPageBytes,
    get bytesInUse() {
      return regions.bytesInUse
    },
    get committedBytes() {
      return memory.buffer.byteLength
    },
    allocate,
    free: (pointer) => regions.give(pointer),
    scratch,
    createPages,
    floats: (pointer, length) => new Float32Array(memory.buffer, pointer, length),
    integers: (pointer, length) => new Int32Array(memory.buffer, pointer, length),
    bytes: (pointer, length) => new Uint8Array(memory.buffer, pointer, length),
  }
}
