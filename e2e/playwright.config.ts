import { defineConfig } from '@playwright/test';

// One worker: the tests start whole sites and share two cores.
export default defineConfig({
  testDir: 'tests',
  workers: 1,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  forbidOnly: !!process.env.CI,
  reporter: [['list']],
  outputDir: '../build/e2e',
  use: { trace: 'off' }, // a trace would hold what the page was told, labels included
});
