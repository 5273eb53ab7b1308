/**
 * The page, built to `dist/renderer`. In mode `views` the same page is built or served on an in-memory node instead
 * (`test/e2e/ui/views`), so that the product's bundle never holds a fake; its preview sends the policy that both shells send.
 */
import { resolve } from 'node:path'
import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'
import { contentSecurityPolicy } from './src-main/app/content-security-policy.ts'

const root = import.meta.dirname

export default defineConfig(({ mode }) => {
  const views = mode === 'views'
  return {
    root: resolve(root, views ? 'test/e2e/ui/views' : 'src-renderer'),
    base: './',
    publicDir: resolve(root, 'src-renderer/public'),
    plugins: [svelte()],
    build: {
      outDir: resolve(root, views ? 'test-output/views' : 'dist/renderer'),
      emptyOutDir: true,
      target: ['chrome120', 'firefox121', 'safari17.4'],
      // One script and one style sheet, nothing inline: the policy allows no more.
      assetsInlineLimit: 0,
      modulePreload: false,
      cssCodeSplit: false,
      sourcemap: false,
    },
    server: { host: '127.0.0.1', port: 5173 },
    preview: {
      host: '127.0.0.1',
      port: 5174,
      strictPort: true,
      headers: { 'content-security-policy': contentSecurityPolicy() },
    },
  }
})
