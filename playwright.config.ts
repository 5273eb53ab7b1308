/**
 * Browser tests. `views`: the page on an in-memory node, built for production and served with the shells' content security
 * policy. `node`: the page on a real node that the test starts itself. Nothing is retried: a flaky test is a broken one.
 */
import { defineConfig } from '@playwright/test'

const wanted = process.argv.flatMap((argument, at, all) =>
  argument === '--project' ? [all[at + 1]] : argument.startsWith('--project=') ? [argument.slice(10)] : [],
)
const needsViews = wanted.length === 0 || wanted.includes('views')

export default defineConfig({
  testDir: 'test/e2e/ui',
  outputDir: 'test-output/playwright',
  fullyParallel: true,
  workers: 2,
  retries: 0,
  timeout: 30_000,
  reporter: [['list']],
  use: {
    baseURL: 'http://127.0.0.1:5174',
    contextOptions: { reducedMotion: 'reduce' },
    viewport: { width: 1180, height: 860 },
    launchOptions: {
      executablePath: process.env['QUILTBEE_CHROMIUM'] ?? '/usr/bin/chromium',
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    },
  },
  projects: [
    { name: 'views', testMatch: /\/views[^/]*\.spec\.ts$/ },
    { name: 'node', testMatch: /\/(node|train)\.spec\.ts$/, timeout: 120_000 },
  ],
  ...(needsViews && {
    webServer: {
      command:
        'vite build --logLevel warn && vite build --mode views --logLevel warn && vite preview --mode views --logLevel warn',
      url: 'http://127.0.0.1:5174',
      timeout: 60_000,
    },
  }),
})
