/** Entry of the Electron app: hands Electron and the file layout to the shell. `dist/main/main.js` once built. */
import { join } from 'node:path'
import {
  app,
  BrowserWindow,
  dialog,
  ipcMain,
  Menu,
  MessageChannelMain,
  nativeImage,
  nativeTheme,
  protocol,
  screen,
  session,
  shell,
  Tray,
  utilityProcess,
} from 'electron'
import { InvalidInputError } from '#contracts/errors.ts'
import { startShell } from './shell.ts'
import { createShellDirectory, profileFrom } from './single-instance.ts'
import { systemTimers } from './timers.ts'

const electron = {
  app,
  BrowserWindow,
  dialog,
  ipcMain,
  Menu,
  MessageChannelMain,
  nativeImage,
  nativeTheme,
  protocol,
  screen,
  session,
  shell,
  Tray,
  utilityProcess,
}
const log = (line: string) => process.stderr.write(`quiltbee: ${line}\n`)
const here = import.meta.dirname

try {
  const profile = profileFrom(process.argv)
  startShell(
    { electron, process, timers: systemTimers, log },
    {
      profile,
      platform: process.platform,
      shellDirectory: createShellDirectory(profile, process.env),
      resourcesDirectory: app.isPackaged ? process.resourcesPath : join(here, '../../resources'),
      rendererDirectory: join(here, '../renderer'),
      preloadFile: join(here, 'preload.cjs'),
      nodeProcessFile: join(here, 'node-process.js'),
    },
  )
} catch (error) {
  if (!(error instanceof InvalidInputError)) throw error
  log(error.message)
  app.exit(2)
}
