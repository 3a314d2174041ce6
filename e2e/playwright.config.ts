import { defineConfig } from '@playwright/test';

// What waits for radio pace leaves two cores idle, and what it measures suffers from
// others' work: these two come first and run beside each other, then all the rest.
const waiting = ['firmware.spec.ts', 'settings.spec.ts'];

export default defineConfig({
  testDir: 'tests',
  workers: 2,
  projects: [
    { name: 'waiting', testMatch: waiting },
    { name: 'working', testIgnore: waiting },
  ],
  timeout: 120_000,
  expect: { timeout: 20_000 },
  forbidOnly: !!process.env.CI,
  reporter: [['list']],
  outputDir: '../build/e2e',
  use: { trace: 'off' }, // a trace would hold what the page was told, labels included
});
