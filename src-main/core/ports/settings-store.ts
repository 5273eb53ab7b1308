import type { Policy } from '#contracts/api/hardware.ts'

/** What the owner decided, kept across restarts. */
export interface Settings {
  /** Name others see; at most 64 characters. */
  readonly nodeName: string
  readonly policy: Policy
  /** `owner`: paused until resumed by hand; a number: until that moment (milliseconds since the epoch); null: not paused. */
  readonly pausedUntil: 'owner' | number | null
}

export interface SettingsStore {
  read(): Promise<Settings>
  /** Durable when it resolves. */
  write(settings: Settings): Promise<void>
}
