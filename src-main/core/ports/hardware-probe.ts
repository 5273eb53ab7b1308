import type { HardwareProfile } from '#contracts/api/hardware.ts'

/** Looks at the machine. Parts it cannot see are null in the profile; it throws only when aborted. */
export interface HardwareProbe {
  measure(options?: { signal?: AbortSignal }): Promise<HardwareProfile>
}
