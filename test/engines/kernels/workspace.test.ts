import fc from 'fast-check'
import { expect, test } from 'vitest'
import { codeOf } from '#contracts/errors.ts'
import { createWorkspace, type Pointer, type Workspace, WorkspaceFullError } from '#engines/kernels/workspace.ts'

const kibibyte = 1024

/** What is taken, each filled with a number of its own. */
interface Model {
  readonly held: { readonly pointer: Pointer; readonly bytes: number; readonly mark: number }[]
  mark: number
}

function take(workspace: Workspace, model: Model, bytes: number): void {
  const before = workspace.bytesInUse
  try {
    const pointer = workspace.allocate(bytes)
    model.mark = (model.mark + 1) % 256
    workspace.bytes(pointer, bytes).fill(model.mark)
    model.held.push({ pointer, bytes, mark: model.mark })
  } catch (error) {
    expect(error).toBeInstanceOf(WorkspaceFullError)
    expect(workspace.bytesInUse).toBe(before)
  }
}

test('whatever is taken and freed, regions stay apart, keep their bytes, and are all accounted for', () => {
  const step = fc.oneof(
    fc.record({ kind: fc.constant('take' as const), bytes: fc.integer({ min: 0, max: 90 * kibibyte }) }),
    fc.record({ kind: fc.constant('free' as const), at: fc.nat(1000) }),
  )
  fc.assert(
    fc.property(fc.array(step, { maxLength: 80 }), (steps) => {
      const workspace = createWorkspace({ maximumBytes: 512 * kibibyte })
      const model: Model = { held: [], mark: 0 }
      for (const action of steps) {
        if (action.kind === 'take') take(workspace, model, action.bytes)
        else if (model.held.length > 0) {
          const [freed] = model.held.splice(action.at % model.held.length, 1)
          if (freed) workspace.free(freed.pointer)
        }
        expect(workspace.committedBytes).toBeLessThanOrEqual(workspace.maximumBytes)
      }
      const wholeLines = (bytes: number) => Math.max(1, Math.ceil(bytes / 64)) * 64
      expect(workspace.bytesInUse).toBe(model.held.reduce((sum, { bytes }) => sum + wholeLines(bytes), 0))
      for (const { pointer, bytes, mark } of model.held) {
        expect(pointer % 64).toBe(0)
        expect(workspace.bytes(pointer, bytes).every((byte) => byte === mark)).toBe(true)
      }
      for (const { pointer } of model.held) workspace.free(pointer)
      expect(workspace.bytesInUse).toBe(0)
      // Nothing is left in pieces: all but the reserved beginning can be had at once.
      expect(workspace.allocate(workspace.maximumBytes - kibibyte)).toBe(kibibyte)
    }),
  )
})

test('freed pages are used again before the memory grows', () => {
  const workspace = createWorkspace({ maximumBytes: 1024 * kibibyte })
  const pages = workspace.createPages(16 * kibibyte)
  const first = Array.from({ length: 10 }, () => pages.take())
  const committed = workspace.committedBytes
  for (const page of first.slice(3, 8)) pages.give(page)
  expect(pages.pagesInUse).toBe(5)
  const again = Array.from({ length: 5 }, () => pages.take())
  expect(new Set([...first.slice(0, 3), ...first.slice(8), ...again]).size).toBe(10)
  expect(workspace.committedBytes).toBe(committed)
})

test('a page given twice, and a pointer freed twice, are errors', () => {
  const workspace = createWorkspace({ maximumBytes: 256 * kibibyte })
  const pages = workspace.createPages(64)
  const page = pages.take()
  pages.give(page)
  expect(() => pages.give(page)).toThrow(RangeError)
  const pointer = workspace.allocate(1)
  workspace.free(pointer)
  expect(() => workspace.free(pointer)).toThrow(RangeError)
  expect(workspace.bytesInUse).toBe(0)
})

test('scratch of one name is one region, which grows when more is asked for', () => {
  const workspace = createWorkspace({ maximumBytes: 512 * kibibyte })
  const small = workspace.scratch('rows', 100)
  expect(workspace.scratch('rows', 80)).toBe(small)
  expect(workspace.scratch('other', 80)).not.toBe(small)
  workspace.scratch('rows', 200 * kibibyte)
  expect(workspace.bytesInUse).toBe(200 * kibibyte + 128)
})

test('what does not fit is refused by name, and what is held stays', () => {
  const workspace = createWorkspace({ maximumBytes: 256 * kibibyte })
  const held = workspace.scratch('rows', 100 * kibibyte)
  workspace.bytes(held, 4).set([1, 2, 3, 4])
  for (const wanted of [() => workspace.scratch('rows', 200 * kibibyte), () => workspace.allocate(2 ** 40)]) {
    expect(wanted).toThrow(WorkspaceFullError)
  }
  expect(codeOf(new WorkspaceFullError(1, 2, 3))).toBe('budget-exceeded')
  expect(workspace.bytesInUse).toBe(100 * kibibyte)
  expect([...workspace.bytes(workspace.scratch('rows', 4), 4)]).toEqual([1, 2, 3, 4])
})

test('memory that grows keeps its contents, and detaches the views made before', () => {
  const workspace = createWorkspace({ maximumBytes: 4096 * kibibyte })
  const pointer = workspace.allocate(8)
  const before = workspace.floats(pointer, 2)
  before.set([1.5, 2.5])
  workspace.allocate(1024 * kibibyte)
  expect(before.length).toBe(0)
  expect([...workspace.floats(pointer, 2)]).toEqual([1.5, 2.5])
})

test('a limit below one page leaves nothing to take', () => {
  const workspace = createWorkspace({ maximumBytes: 1000 })
  expect(workspace.maximumBytes).toBe(0)
  expect(() => workspace.allocate(1)).toThrow(WorkspaceFullError)
})
