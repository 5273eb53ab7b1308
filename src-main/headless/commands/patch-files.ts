import { type Command, Option } from 'commander'
import { patchExportFormats } from '#contracts/api/patches.ts'

/**
 * `quiltbee patch inspect|verify|show|log|diff|apply|export|import`: patches as files, and in the library, whether a node runs
 * or not. `patch` is the group; other files add other verbs to it.
 */
export function addPatchFiles(patch: Command): void {
  patch
    .command('inspect <patch>')
    .description('what a patch says of itself: base, author, method, data, measures')
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON object, with the list of its tensors')
    .action(async (name, options) => (await import('../actions/patch-inspect.ts')).inspectPatch(name, options))
  patch
    .command('verify <patch>')
    .description('read all of a patch and check it: format, digests, signature, numbers, and that it fits its base')
    .option(
      '--model <name>',
      'name or digest of the base it must be for; its own base, where that is here, when left out',
    )
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON object')
    .action(async (name, options) => (await import('../actions/patch-inspect.ts')).verifyPatch(name, options))
  patch
    .command('show <patch>')
    .description('how much a patch changes each tensor')
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON object')
    .action(async (name, options) => (await import('../actions/patch-lineage.ts')).showPatch(name, options))
  patch
    .command('log <patch>')
    .description('the patches it stands on, newest first')
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON array')
    .action(async (name, options) => (await import('../actions/patch-lineage.ts')).logPatch(name, options))
  patch
    .command('diff <left> <right>')
    .description('what two patches have in common, tensor by tensor: shared entries, cosine, norms')
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON object')
    .action(async (left, right, options) =>
      (await import('../actions/patch-lineage.ts')).diffTwoPatches(left, right, options),
    )
  patch
    .command('apply <patch...>')
    .description('write a model with one or more patches in its weights, as a Hugging Face folder')
    .requiredOption('--model <name>', 'name or digest of the base')
    .requiredOption('--out <folder>', 'the folder to make')
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON object')
    .action(async (names, options) => (await import('../actions/patch-convert.ts')).applyPatches(names, options))
  patch
    .command('export <patch>')
    .description('write a patch for other programs, or as the file it is')
    .addOption(
      new Option(
        '--format <format>',
        'patch: its own file; peft: an adapter’s folder; safetensors: the whole patched model; sparse: CSR arrays, as git-theta has them',
      )
        .choices(patchExportFormats)
        .default('patch'),
    )
    .requiredOption('--out <path>', 'the file or folder to make')
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON object')
    .action(async (name, options) => (await import('../actions/patch-convert.ts')).exportNamed(name, options))
  patch
    .command('import <path>')
    .description('take a patch file, or a PEFT adapter ((IA)³ or LoRA in safetensors), into the library')
    .option('--model <name>', 'name or digest of the base; adapters do not say it')
    .option('--title <text>', 'what to call a converted adapter; by default the name of its folder or file')
    .option('--out <file>', 'write a converted adapter to a patch file instead')
    .option('--profile <name>', 'which node of this machine')
    .option('--json', 'print one JSON object')
    .action(async (path, options) => (await import('../actions/patch-convert.ts')).importFrom(path, options))
}
