/** Adds, receives, finishes and removes patches until it is killed: what `durability.test.ts` kills. Says `ready` at first. */
import { openPatchLibrary } from '#adapters/patch-store/open-patch-library.ts'
import { makePatch, pieces } from '#test/helpers/make-patch.ts'
import { initOf } from './scratch-library.ts'

const [, , folder = ''] = process.argv
const library = await openPatchLibrary(initOf(folder))
const patches = await Promise.all(
  Array.from({ length: 8 }, (_, number) => makePatch({ title: `Patch ${number}`, entries: 2_000 })),
)

async function receive(patch: (typeof patches)[number]): Promise<void> {
  const incoming = await library.receive(patch.head)
  for (let at = incoming.next(); at !== null; at = incoming.next()) {
    const section = patch.sections[at.section] ?? new Uint8Array()
    await incoming.append(section.subarray(at.offset, at.offset + 1_500))
  }
  await incoming.finish()
}

const isHere = async (digest: string) =>
  (await library.list()).find((patch) => patch.digest === digest)?.complete === true

process.stdout.write('ready\n')
for (let turn = 0; ; turn += 1) {
  const patch = patches[turn % patches.length]
  if (patch === undefined) break
  if (await isHere(patch.digest)) await library.remove(patch.digest)
  else if (turn % 3 === 0) await library.add(pieces(patch.bytes), { where: 'mine' })
  else await receive(patch)
}
