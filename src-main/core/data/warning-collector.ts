/** Warnings as they come up, each kind once: how often, and where first. */
import type { DataWarning, dataWarnings } from '#contracts/api/training.ts'

export type WarningKind = (typeof dataWarnings)[number]
const maximumWhereCharacters = 300

export interface WarningCollector {
  /** `where` of the first one is kept. */
  add(kind: WarningKind, where: string | null, count?: number): void
  all(): readonly DataWarning[]
}

export function createWarningCollector(given: readonly DataWarning[] = []): WarningCollector {
  const found = new Map<WarningKind, DataWarning>()
  const collector: WarningCollector = {
    add(kind, where, count = 1) {
      const before = found.get(kind)
      const place = before === undefined ? (where?.slice(0, maximumWhereCharacters) ?? null) : before.where
      found.set(kind, { kind, count: (before?.count ?? 0) + count, where: place })
    },
    all: () => [...found.values()],
  }
  for (const { kind, where, count } of given) collector.add(kind, where, count)
  return collector
}
