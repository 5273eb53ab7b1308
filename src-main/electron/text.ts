/** Every sentence the shell itself shows: in the tray, and in a dialog when there is no page to show it. */
import type { NoBudgetReason } from '#contracts/api/hardware.ts'
import type { ErrorCode } from '#contracts/errors.ts'

export const productName = 'Quiltbee'

export const pauseReasons: Readonly<Record<NoBudgetReason, string>> = {
  'paused-by-owner': 'Paused by you',
  'on-battery': 'Paused: on battery power',
  'no-model': 'Giving nothing: no model is installed',
  'not-enough-memory': 'Giving nothing: not enough free memory',
  'not-enough-disk': 'Giving nothing: the disk is nearly full',
  'policy-gives-nothing': 'Giving nothing: your limits leave no room',
}

export const failures: Readonly<Record<ErrorCode, string>> = {
  internal: 'Something unexpected went wrong',
  'invalid-input': 'A setting is not valid',
  cancelled: 'It was cancelled',
  'model-not-found': 'The model is not on this computer',
  'model-format': "The model's files are damaged",
  'model-unsupported': 'This kind of model cannot be run',
  'tokenizer-format': "The model's vocabulary is damaged",
  'context-too-long': 'The text is too long for the model',
  'missing-blocks': 'Nobody reachable holds some of the model',
  'peer-lost': 'A peer stopped answering',
  'session-refused': 'A peer declined',
  'protocol-violation': 'A peer broke the rules',
  'budget-exceeded': 'Your limits were reached',
  paused: 'This computer is paused',
  'ledger-corrupt': 'The ledger is damaged',
  'ledger-newer': 'The ledger was written by a newer version of Quiltbee',
  'profile-locked': 'Quiltbee is already running with this profile',
  'port-in-use': 'The network port is in use by another program',
  'not-running': 'No node is running',
  'storage-failed': 'The disk could not be read or written',
  'engine-failed': 'What computes the model keeps failing',
  'patch-mismatch': 'A patch does not fit the model',
  'download-failed': 'The model could not be downloaded',
  'patch-format': 'A patch is damaged',
  'patch-not-found': 'The patch is not on this computer',
  'wrong-base': 'The patch is for another model',
  'patch-unavailable': 'Nobody reachable has the patch',
  'quota-exceeded': 'There is no room left for it',
  'data-format': 'The training data cannot be read',
  'run-not-found': 'There is no such run',
  'run-state': 'The run cannot do that now',
  'training-failed': 'Training came to no result',
}

export const text = {
  open: 'Open Quiltbee',
  pause: 'Pause',
  resume: 'Resume',
  tryAgain: 'Try again',
  notNow: 'Not now',
  quit: 'Quit Quiltbee',
  starting: 'Starting…',
  stopped: 'Stopped',
  connecting: 'Connecting…',
  restarting: 'Stopped unexpectedly; starting again…',
  crashing: 'Not running: it stopped three times within a minute',
  failed: (code: ErrorCode) => `Not giving: ${failures[code]}`,
  measuring: (done: number, total: number) => `Trying engine ${Math.min(done + 1, total)} of ${total}…`,
  loadingAgain: 'Starting the engine again…',
  loading: (done: number, total: number) => `Loading block ${Math.min(done + 1, total)} of ${total}…`,
  hosting: (blocks: string, sessions: number) => `Giving blocks ${blocks}, ${counted(sessions, 'session')}`,
  pausedUntil: (reason: string, time: string) => `${reason} until ${time}`,
  today: (served: number, used: number) => `Today: ${grouped(served)} tokens given, ${grouped(used)} used`,
  peers: (count: number) => (count === 0 ? 'No peers connected' : `${counted(count, 'peer')} connected`),
  troubleTitle: 'Quiltbee cannot give right now',
  crashingDetail: (exitCode: number) =>
    `The part of Quiltbee that does the work stopped three times within a minute (exit code ${exitCode}). Your ledger is kept. You can try again, or quit and look at the log.`,
  refusedDetail: 'Nothing is lost. You can try again, or quit.',
  windowTroubleTitle: 'The window keeps failing',
  windowTroubleDetail: 'The node goes on working. You can try to open the window again, or quit.',
} as const

export const pauseChoices: readonly { readonly label: string; readonly minutes: number | null }[] = [
  { label: 'For 15 minutes', minutes: 15 },
  { label: 'For 1 hour', minutes: 60 },
  { label: 'Until I resume', minutes: null },
]

/** Hour and minute as the owner's system writes them. */
export function clockTime(atMs: number): string {
  return new Date(atMs).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' })
}

function grouped(count: number): string {
  return count.toLocaleString('en')
}

function counted(count: number, noun: string): string {
  return `${grouped(count)} ${noun}${count === 1 ? '' : 's'}`
}
