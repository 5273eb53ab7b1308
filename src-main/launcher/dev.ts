/**
 * `npm run dev` and `dev:headless`: builds again whenever a file changes, and runs the node on a profile of its own
 * (`dev`). The headless node starts again by itself when its sources change; reload the page to see a change of the UI.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { buildIfStale, configOf, type Part, root, vite } from './build.ts'
import { chooseShellHere, run } from './launch.ts'

const args = process.argv.slice(2)
const choice = chooseShellHere(args)
const rest = ['--profile', 'dev', ...args.filter((argument) => argument !== '--headless')]
const built: Part[] = choice.shell === 'electron' ? ['renderer', 'main'] : ['renderer']

for (const part of built) {
  await buildIfStale(part)
  const watcher = spawn(
    process.execPath,
    [vite, 'build', '--watch', '--logLevel', 'warn', '--config', configOf(part)],
    {
      cwd: root,
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
  process.on('exit', () => watcher.kill())
}
if (choice.shell === 'electron') run(choice.binary, [root, ...rest])
else run(process.execPath, ['--watch', join(root, 'src-main/headless/main.ts'), 'up', ...rest])
