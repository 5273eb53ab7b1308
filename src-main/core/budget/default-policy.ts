import type { Policy } from '#contracts/api/hardware.ts'

const gibibyte = 1024 ** 3

/** What is given before the owner has said anything: half of the machine, and nothing while it runs on battery. */
export const defaultPolicy: Policy = {
  memoryShare: 0.5,
  memoryCapBytes: null,
  threadShare: 0.5,
  onBattery: 'pause',
  diskReserveBytes: 2 * gibibyte,
  maxSessions: 8,
}
