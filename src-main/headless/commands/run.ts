import type { Command } from 'commander'
import { runActions } from '#contracts/api/training.ts'

const descriptions = {
  pause: 'hold a run until it is resumed by hand',
  resume: 'go on with a run that was paused, stopped or failed; here in the foreground when no node runs',
  stop: 'end a run without a patch; what was trained is kept until it is removed',
  finish: 'end training now and make the patch of what there is',
  remove: 'end a run if need be, and forget it with its checkpoints and its copy of the data',
} as const

/** `quiltbee run list|show|pause|resume|stop|finish|remove`. */
export function addRun(program: Command): void {
  const run = program.command('run').description('training runs of this machine')
  run
    .command('list')
    .description('list the runs, newest first')
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON array')
    .action(async (options) => (await import('../actions/run.ts')).listRuns(options))
  run
    .command('show <id>')
    .description('show what a run was to do, how far it is, and what came of it')
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON object')
    .action(async (id, options) => (await import('../actions/run.ts')).showRun(id, options))
  for (const action of runActions) {
    const command = run
      .command(`${action} <id>`)
      .description(descriptions[action])
      .option('--profile <name>', 'which node of this machine')
      .option('--json', 'print one JSON object')
    if (action === 'resume' || action === 'finish') {
      command.option('--events', 'where it goes on here: print every change as a line of JSON, as it happens')
    }
    command.action(async (id, options) => (await import('../actions/run.ts')).actOnRun(action, id, options))
  }
}
