/** The owner's settings as one JSON file, replaced as a whole. A file that does not fit its schema is refused, not reset. */
import { hostname } from 'node:os'
import * as z from 'zod'
import { type Policy, policySchema } from '#contracts/api/hardware.ts'
import { cleanNodeName, nodeNameSchema } from '#contracts/wire/announce/node-name.ts'
import type { Settings, SettingsStore } from '#core/ports/settings-store.ts'
import { atomicWrite } from './atomic-write.ts'
import { readJsonFile } from './json-file.ts'

const settingsSchema = z.strictObject({
  formatVersion: z.literal(1),
  nodeName: nodeNameSchema,
  policy: policySchema,
  pausedUntil: z.union([z.literal('owner'), z.int().min(0)]).nullable(),
})

export function createSettingsStore(init: { file: string; defaultPolicy: Policy }): SettingsStore {
  const defaults: Settings = { nodeName: defaultNodeName(), policy: init.defaultPolicy, pausedUntil: null }
  return {
    async read() {
      const stored = await readJsonFile(init.file, settingsSchema)
      if (stored === null) return defaults
      const { formatVersion: _, ...settings } = stored
      return settings
    },
    async write(settings) {
      await atomicWrite(init.file, `${JSON.stringify({ formatVersion: 1, ...settings }, null, 2)}\n`)
    },
  }
}

/** The machine's name is what people recognise their own node by. */
function defaultNodeName(): string {
  const name = cleanNodeName(hostname())
  return name === '' ? 'quiltbee-node' : name
}
