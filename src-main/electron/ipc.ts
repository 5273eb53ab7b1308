/**
 * The shell's one IPC channel. Our page asks to be connected; it gets one end of a fresh message channel and the node's
 * process the other, so that what they say to each other never passes through this process.
 */
import { appOrigin, isAppUrl } from './app-identity.ts'
import { connectChannel, portChannel } from './channels.ts'
import type { IpcEventPart, IpcMainPart, MessageChannelConstructor } from './electron-parts.ts'
import type { NodeSupervisor } from './node-supervisor.ts'

export interface IpcComponents {
  readonly ipcMain: IpcMainPart
  readonly MessageChannelMain: MessageChannelConstructor
  readonly supervisor: Pick<NodeSupervisor, 'connect'>
  /** True for the web contents of a window that the shell made. */
  readonly isOurs: (contentsId: number) => boolean
  readonly log: (line: string) => void
}

export function serveConnect(components: IpcComponents): void {
  function connect(event: IpcEventPart): void {
    const { port1, port2 } = new components.MessageChannelMain()
    components.supervisor.connect(port1)
    event.sender.postMessage(portChannel, null, [port2])
  }

  components.ipcMain.on(connectChannel, (event) => {
    const refusal = refusalOf(event, components.isOurs)
    if (refusal === null) connect(event)
    else components.log(`refused a connection: ${refusal}`)
  })
}

/** Why a sender is not our page; null when it is. A frame that navigated or ended since then has no standing. */
export function refusalOf(event: IpcEventPart, isOurs: (contentsId: number) => boolean): string | null {
  const frame = event.senderFrame
  if (event.sender.isDestroyed() || !isOurs(event.sender.id)) return 'not a window of ours'
  if (frame === null || frame.isDestroyed() || frame.detached) return 'the frame is gone'
  if (frame.parent !== null) return 'not the main frame'
  if (frame.origin !== appOrigin || !isAppUrl(frame.url)) return 'another origin'
  return null
}
