/**
 * Compiles `assembly/` to `kernels.wasm`, which is kept in the repository: nobody who installs, starts or packs the product
 * needs the compiler. `node src-main/engines/kernels/compile.ts` after each change; a test compares the bytes.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Parser, Source } from 'assemblyscript'
import type { Transform } from 'assemblyscript/transform'

const folder = fileURLToPath(new URL('./assembly', import.meta.url))

/** Speed before size, no runtime of the language's own, and the memory from outside. */
const options = [
  ...['--runtime', 'stub', '-O3', '--converge', '--noAssert'],
  ...['--enable', 'simd', '--enable', 'relaxed-simd', '--enable', 'bulk-memory'],
  ...['--importMemory', '--noExportMemory', '--memoryBase', '0'],
]

/** The module's bytes. Throws with what the compiler said; also when the compiler is not installed. */
export async function compileKernels(): Promise<Uint8Array> {
  const { main } = await import('assemblyscript/asc')
  const inlining = await transformToInline(['lanes.ts', 'codes.ts'])
  let bytes: Uint8Array | undefined
  const files = {
    readFile: (name: string, baseDir: string) => readFile(`${baseDir}/${name}`, 'utf8').catch(() => null),
    writeFile: (_name: string, contents: Uint8Array | string) => {
      if (typeof contents !== 'string') bytes = contents
    },
  }
  const inputs = ['index.ts', '--baseDir', folder, '--outFile', 'kernels.wasm', ...options]
  const { error, stderr } = await main(inputs, { ...files, transforms: [inlining] })
  if (error !== null || bytes === undefined) throw new Error(`the kernels do not compile: ${stderr.toString()}`)
  return bytes
}

/** Marks each function of some files as one to compile in place. The language has a decorator for it, which no other tool reads. */
async function transformToInline(files: readonly string[]): Promise<Transform> {
  const { DecoratorKind, DecoratorNode, FunctionDeclaration, Node } = await import('assemblyscript')
  const { Transform } = await import('assemblyscript/transform')
  const inline = ({ range }: Source) =>
    new DecoratorNode(DecoratorKind.Inline, Node.createIdentifierExpression('inline', range), null, range)
  return new (class extends Transform {
    override afterParse(parser: Parser) {
      for (const source of parser.sources.filter(({ normalizedPath }) => files.includes(normalizedPath))) {
        for (const statement of source.statements) {
          if (statement instanceof FunctionDeclaration) statement.decorators = [inline(source)]
        }
      }
    }
  })()
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await writeFile(new URL('./kernels.wasm', import.meta.url), await compileKernels())
}
