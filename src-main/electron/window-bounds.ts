/** Where the window was when it was last closed, and where it may be now: screens come and go, files get damaged. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import type { Rectangle } from 'electron'
import * as z from 'zod'

export const minimumSize = { width: 900, height: 600 } as const
const usualSize = { width: 1180, height: 800 } as const
/** So much of the window has to be on some screen for its owner to get hold of it, in pixels. */
const graspable = { width: 120, height: 60 } as const

const coordinate = z.int().min(-100_000).max(100_000)
const boundsSchema = z.object({
  x: coordinate,
  y: coordinate,
  width: z.int().min(1).max(100_000),
  height: z.int().min(1).max(100_000),
  maximized: z.boolean(),
})
export type WindowBounds = Readonly<z.infer<typeof boundsSchema>>

/** A place for the window; without x and y the system centres it. */
export interface Placement {
  readonly x?: number
  readonly y?: number
  readonly width: number
  readonly height: number
  readonly maximized: boolean
}

export function placeWindow(saved: WindowBounds | null, workAreas: readonly Rectangle[]): Placement {
  if (saved === null) return { ...usualSize, maximized: false }
  for (const area of workAreas) {
    const fitted = fitInto(saved, area)
    if (canGrasp(fitted, area)) return { ...fitted, maximized: saved.maximized }
  }
  return { ...usualSize, maximized: saved.maximized }
}

function fitInto(window: Rectangle, area: Rectangle): Rectangle {
  return {
    x: window.x,
    y: Math.max(window.y, area.y),
    width: Math.max(minimumSize.width, Math.min(window.width, area.width)),
    height: Math.max(minimumSize.height, Math.min(window.height, area.height)),
  }
}

function canGrasp(window: Rectangle, area: Rectangle): boolean {
  const width = Math.min(window.x + window.width, area.x + area.width) - Math.max(window.x, area.x)
  const height = Math.min(window.y + window.height, area.y + area.height) - Math.max(window.y, area.y)
  return width >= graspable.width && height >= graspable.height
}

/** Null when there is no such file, or it says nothing sensible: a window's place is never worth an error. */
export function readBounds(file: string): WindowBounds | null {
  try {
    return boundsSchema.parse(JSON.parse(readFileSync(file, 'utf8')))
  } catch {
    return null
  }
}

export function writeBounds(file: string, bounds: WindowBounds): void {
  try {
    writeFileSync(`${file}.partial`, JSON.stringify(bounds), { mode: 0o600 })
    renameSync(`${file}.partial`, file)
  } catch {
    // A full or read-only disk costs the window its place, nothing more.
  }
}
