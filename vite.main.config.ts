/**
 * Bundles the Electron side into `dist/main`: the shell, the node's process, the compute worker, and the preload. The first three are ES
 * modules and leave packages where they are; the preload runs in a sandbox that can require nothing but `electron`, so it is one
 * CommonJS file. `vite build --config vite.main.config.ts` builds all four.
 */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { defineConfig, type EnvironmentOptions, type Plugin } from 'vite'

const entry = (name: string): string => resolve(import.meta.dirname, 'src-main/electron', name)

function environment(entries: Record<string, string>, format: 'es' | 'cjs', emptyOutDir: boolean): EnvironmentOptions {
  return {
    consumer: 'server',
    resolve: { external: ['electron'], conditions: ['node', 'import'] },
    build: {
      outDir: 'dist/main',
      emptyOutDir,
      target: 'node24',
      ssr: true,
      minify: false,
      sourcemap: true,
      copyPublicDir: false,
      rolldownOptions: {
        input: entries,
        output: {
          format,
          entryFileNames: format === 'es' ? '[name].js' : '[name].cjs',
          chunkFileNames: 'shared-[hash].js',
        },
      },
    },
  }
}

/** Lays the engines' kernels beside the bundle, where `new URL('./kernels.wasm', import.meta.url)` finds them. */
const kernels: Plugin = {
  name: 'kernels',
  applyToEnvironment: ({ name }) => name === 'main',
  generateBundle() {
    const source = readFileSync(resolve(import.meta.dirname, 'src-main/engines/kernels/kernels.wasm'))
    this.emitFile({ type: 'asset', fileName: 'kernels.wasm', source })
  },
}

export default defineConfig({
  plugins: [kernels],
  environments: {
    main: environment(
      {
        main: entry('main.ts'),
        'node-process': entry('node-process.ts'),
        compute: resolve(import.meta.dirname, 'src-main/workers/compute.ts'),
      },
      'es',
      true,
    ),
    preload: environment({ preload: entry('preload.ts') }, 'cjs', false),
  },
  builder: {
    async buildApp(builder) {
      for (const name of ['main', 'preload']) {
        const built = builder.environments[name]
        if (built !== undefined) await builder.build(built)
      }
    },
  },
})
