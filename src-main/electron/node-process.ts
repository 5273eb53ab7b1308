/** Entry of the node's own process, an Electron utility process: a crash in here leaves window and tray standing. */
import { createNodeHost } from './compose.ts'
import { runNodeProcess } from './run-node-process.ts'

runNodeProcess({
  parentPort: process.parentPort,
  createNodeHost,
  exit: (code) => process.exit(code),
  log: (line) => process.stderr.write(`${line}\n`),
})
