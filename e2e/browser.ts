// Chromium from the system's packages, with a profile that survives a kill.
import { type BrowserContext, chromium, expect, type Page } from '@playwright/test';
import { readdirSync, readFileSync } from 'node:fs';

const flags = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
];

export interface View { width: number; height: number }
export const wide: View = { width: 1280, height: 800 };
export const tablet: View = { width: 820, height: 1180 };

export function openBrowser(profile: string, viewport: View = wide): Promise<BrowserContext> {
  return chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true, args: flags, viewport, hasTouch: viewport === tablet,
  });
}

// killBrowser ends the browser of a profile as a crash would: no page and no
// storage is told.
export function killBrowser(profile: string): void {
  let main = 0;
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    let words: string[];
    try { words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0'); } catch { continue; }
    if (words.includes(`--user-data-dir=${profile}`) && !words.some((w) => w.startsWith('--type='))) main = Number(pid);
  }
  if (!main) throw new Error('no browser runs with that profile');
  process.kill(main, 'SIGKILL');
}

// engineReady waits until the page's engine answers.
export async function engineReady(page: Page): Promise<void> {
  await page.waitForFunction(() => performance.getEntriesByName('lamplighter-ready').length > 0);
}

declare global {
  // What the page offers to scripts: see web/src/engine.gen.ts.

  var lamplighter: import('../web/src/engine.gen.ts').Methods;
}

/** Opens a site's invitation and joins all its devices to a group, however often it takes. */
export async function joinAll(page: Page, site: { link: string; labels: string }, group: string): Promise<void> {
  await page.goto(site.link);
  await engineReady(page);
  await expect(page.getByTestId('site-name')).toHaveText('Riverside School'); // the invitation was accepted
  await page.evaluate(async ([labels, group]) => {
    await lamplighter.importLabels(labels!);
    for (let i = 0; i < 10; i++) {
      await lamplighter.discover();
      if ((await lamplighter.snapshot()).devices.every((one) => one.found)) break;
    }
    const job = await lamplighter.join(group!, (await lamplighter.snapshot()).devices.map((one) => one.id));
    for (;;) {
      const done = (await lamplighter.snapshot()).jobs.find((one) => one.id === job.id)!;
      if (done.state === 'done') return;
      if (done.ended) await lamplighter.retryJob(job.id);
      await new Promise((next) => setTimeout(next, 200));
    }
  }, [site.labels, group]);
}
