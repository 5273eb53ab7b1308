/** The `quiltbee` command: every verb is a file in `commands/`; this file only lists them and turns failures into exit codes. */
import { Command, CommanderError } from 'commander'
import { version } from '#assembly/version.ts'
import { addCalibrate } from './commands/calibrate.ts'
import { addDetect } from './commands/detect.ts'
import { addGenerate } from './commands/generate.ts'
import { addLedger } from './commands/ledger.ts'
import { addModel } from './commands/model.ts'
import { addPatch } from './commands/patch.ts'
import { addRun } from './commands/run.ts'
import { addSwarm } from './commands/swarm.ts'
import { addUp } from './commands/up.ts'
import { exitCodes, reportError } from './output.ts'

/** Runs one command line (without node and script); resolves with the exit code. */
export async function runCli(args: readonly string[]): Promise<number> {
  const program = new Command('quiltbee')
    .description('Give compute to models that are built by many people, and use them.')
    .version(version)
    .exitOverride()
    .showHelpAfterError('(add --help for what this command takes)')
    .addHelpText('after', helpEnd)
  for (const add of [addDetect, addCalibrate, addModel, addUp, addGenerate, addPatch, addRun, addSwarm, addLedger])
    add(program)
  try {
    await program.parseAsync([...args], { from: 'user' })
    return Number(process.exitCode ?? exitCodes.success)
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.success : exitCodes.usage
    return reportError(error, args.includes('--json'))
  }
}

const helpEnd = `
Data lives under QUILTBEE_HOME, or the platform's folder for application data.
Exit codes: 0 done · 1 internal error · 2 wrong input · 3 model or patch · 4 swarm · 5 ledger · 6 node · 130 cancelled`
