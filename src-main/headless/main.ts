/** Entry of the command line and the headless node. */
import { runCli } from './cli.ts'
import { reportError } from './output.ts'

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0)
  throw error
})
// A fault that nothing was waiting for: the process cannot be trusted any more, but its last word is one sentence.
process.on('uncaughtException', (error) => process.exit(reportError(error, process.argv.includes('--json'))))

const code = await runCli(process.argv.slice(2))
// Everything is closed; a library's timer that still runs is nothing to wait for. What was printed goes out first.
process.stdout.write('', () => process.exit(code))
