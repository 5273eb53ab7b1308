/**
 * Bundles the Electron side into `dist/main`: the shell, the node's process, and the preload. The first two are ES modules
 * and leave packages where they are; the preload runs in a sandbox that can require nothing but `electron`, so it is one
 * CommonJS file. `vite build --config vite.main.config.ts` builds all three.
 */
import { resolve } from 'node:path'
import { defineConfig, type EnvironmentOptions } from 'vite'

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

export default defineConfig({
  environments: {
    main: environment({ main: entry('main.ts'), 'node-process': entry('node-process.ts') }, 'es', true),
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
