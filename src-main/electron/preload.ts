/**
 * All that the page gets of Electron: one function without arguments or result. The answer is a message port, posted into
 * the page as `{ type: 'quiltbee:port' }`; neither `ipcRenderer` nor its event objects leave this file.
 */
import { contextBridge, ipcRenderer } from 'electron'
import { connectChannel, portChannel } from './channels.ts'

contextBridge.exposeInMainWorld('quiltbee', {
  connect: (): void => ipcRenderer.send(connectChannel),
})

ipcRenderer.on(portChannel, (event) => {
  window.postMessage({ type: portChannel }, window.location.origin, [...event.ports])
})
