// The page around the path: how it looks to assistive technology, what it does
// with two tabs, another browser, a bridge that goes away, and plain http.
import { AxeBuilder } from '@axe-core/playwright';
import { expect, test, type BrowserContext, type Page } from '@playwright/test';
import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { engineReady, openBrowser, tablet, wide, type View } from '../browser.ts';
import { Site } from '../site.ts';

const lamps = 8;
const group = 'hall-ceiling';
const passphrase = 'amber lantern under the stairs';

test.describe.configure({ mode: 'serial' });

let site: Site;
const contexts: BrowserContext[] = [];

async function browser(view: View = wide): Promise<Page> {
  const context = await openBrowser(mkdtempSync(join(tmpdir(), 'lamplighter-profile-')), view);
  contexts.push(context);
  return context.pages()[0] ?? await context.newPage();
}

async function open(page: Page, url: string): Promise<void> {
  await page.goto(url);
  await engineReady(page);
}

// jobEnds waits for a job's end and returns its state.
function jobEnds(page: Page, job: string): Promise<string> {
  return page.evaluate(async (job) => {
    for (;;) {
      const state = (await lamplighter.snapshot()).jobs.find((j) => j.id === job)?.state ?? 'gone';
      if (state !== 'running' && state !== 'waiting') return state;
      await new Promise((done) => setTimeout(done, 50));
    }
  }, job);
}

async function importAll(page: Page): Promise<string[]> {
  return page.evaluate(async (labels) => {
    await lamplighter.importLabels(labels);
    await lamplighter.discover();
    return (await lamplighter.snapshot()).devices.map((d) => d.id);
  }, site.labels);
}

let first: Page;

test.beforeAll(async () => {
  site = await Site.start(['--devices', String(lamps)]);
  first = await browser();
});

test.afterAll(async () => {
  for (const context of contexts) await context.close();
  await site?.stop();
});

test('a bridge that goes away in the middle of a join and comes back: the job ends complete', async () => {
  await open(first, site.link);
  await first.getByTestId('site-name').waitFor();
  const ids = await importAll(first);
  const job = await first.evaluate(([group, ids]) => lamplighter.join(group as string, ids as string[]), [group, ids] as const);
  await expect.poll(async () => (await site.members(group)).length, { intervals: [5] }).toBeGreaterThan(1);
  await site.switch('bridge', false);
  await expect(first.getByTestId('banner')).toBeVisible();
  await site.switch('bridge', true);
  expect(await jobEnds(first, job.id)).toBe('done');
  const subjects = (await site.members(group)).map((m) => m.subject);
  expect(new Set(subjects).size).toBe(subjects.length);
  expect(subjects.length).toBe(lamps + 1);
});

test('a second tab says that it is one, and can take over', async () => {
  const second = await contexts[0]!.newPage();
  await second.goto(site.origin);
  await expect(second.locator('[data-testid=obstacle][data-kind=held]')).toBeVisible();
  await second.getByTestId('takeover').click();
  await engineReady(second);
  await expect(second.getByTestId('site-name')).toBeVisible();
  await expect(first.locator('[data-testid=obstacle][data-kind=lost]')).toBeVisible();
  const call = await second.evaluate((group) => lamplighter.rollCall(group), group);
  expect(call.verified).toBe(lamps);
  await first.close();
  first = second;
});

test('a backup opens on another browser, which manages the devices again', async () => {
  const file = await first.evaluate((p) => lamplighter.backup(p), passphrase);
  expect(file).toContain('BEGIN AGE ENCRYPTED FILE');
  const other = await browser(tablet);
  const link = readFileSync(join(site.data, 'invitation.txt'), 'utf8').trim();
  await other.goto(link); // signs in at the bridge; the invitation itself is used
  await engineReady(other);
  await other.getByTestId('restore-open').first().click();
  await other.getByTestId('restore-file').setInputFiles({ name: 'site.age', mimeType: 'text/plain', buffer: Buffer.from(file) });
  await other.getByTestId('restore-passphrase').fill('not the passphrase');
  await other.getByTestId('restore-confirm').click();
  await expect(other.getByRole('alert').filter({ hasText: /passphrase/i })).toBeVisible();
  await other.getByTestId('restore-passphrase').fill(passphrase);
  await other.getByTestId('restore-confirm').click();
  await expect(other.getByTestId('site-name')).toHaveText('Riverside School');
  const lamp = (await site.lamps())[0]!;
  await other.evaluate((id) => lamplighter.blink(id, 5), lamp.id);
  expect((await site.lamps())[0]!.blinking).toBe(true);
  const call = await other.evaluate(async (group) => lamplighter.rollCall(group), group);
  expect(call.verified).toBe(lamps);
});

// Dialogs of administration, by the screen and the button that opens them.
const dialogs = ['groups group-new', `groups/${group} new-keys`, `groups/${group} group-change`, 'people invite-open'];

async function show(page: Page, screen: string): Promise<void> {
  const [place, button] = screen.split(' ');
  await page.evaluate((place) => { location.hash = '#/' + place; }, place);
  if (button) await page.getByTestId(button).click();
}

for (const [name, view] of [['wide', wide], ['tablet', tablet]] as const) {
  test(`every screen is accessible and large enough to touch, ${name}`, async () => {
    await first.setViewportSize(view);
    for (const theme of ['light', 'dark', 'sun']) {
      await first.evaluate((theme) => { document.documentElement.dataset['theme'] = theme; }, theme);
      for (const screen of ['site', 'devices', 'groups', `groups/${group}`, 'people', 'jobs', 'log', 'firmware', ...dialogs]) {
        await show(first, screen);
        await first.waitForTimeout(250); // colours fade for 200 ms
        const found = await new AxeBuilder({ page: first }).withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']).analyze();
        expect(found.violations.map((v) => `${theme} ${screen}: ${v.id} ${v.nodes[0]?.html}`)).toEqual([]);
        if (theme === 'light') expect(await small(first), screen).toEqual([]);
        expect(await first.evaluate(() => document.documentElement.scrollWidth - innerWidth), `${screen} scrolls sideways`).toBeLessThanOrEqual(0);
        await first.evaluate(() => document.querySelectorAll('dialog').forEach((dialog) => dialog.close()));
      }
    }
  });
}

// small lists visible controls under 48 px, but for those inside a larger label.
function small(page: Page): Promise<string[]> {
  return page.evaluate(() => [...document.querySelectorAll<HTMLElement>('button, a[href], input, select, textarea, summary')]
    .filter((e) => e.checkVisibility() && !e.classList.contains('sr') && !e.closest('label'))
    .map((e) => ({ e, box: e.getBoundingClientRect() }))
    .filter(({ box }) => box.height < 47.5 || box.width < 47.5)
    .map(({ e, box }) => `${e.dataset['testid'] ?? e.outerHTML.slice(0, 80)} ${Math.round(box.width)}x${Math.round(box.height)}`));
}

test('over plain http from another address the page says why it does not start', async () => {
  // A name that is not localhost, answered with what the bridge serves.
  const page = await browser();
  const url = new URL(site.origin);
  url.hostname = 'lamplighter.test';
  await page.route(url.origin + '/**', async (route) => {
    const answer = await fetch(route.request().url().replace(url.origin, site.origin));
    await route.fulfill({ status: answer.status, headers: Object.fromEntries(answer.headers), body: Buffer.from(await answer.arrayBuffer()) });
  });
  await page.goto(url.origin + '/');
  await expect(page.locator('[data-testid=obstacle][data-kind=insecure]')).toBeVisible();
  await expect(page.getByText('--tls-cert')).toBeVisible();
});
