// The whole path against a running demo with 30 lamps, in Chromium: what the
// page says is held against the lamps' real state, nonces and traffic.
import { expect, test, type BrowserContext, type Page } from '@playwright/test';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { engineReady, killBrowser, openBrowser } from '../browser.ts';
import { reused, Site } from '../site.ts';

const lamps = 30;
const group = 'hall-ceiling';

test.describe.configure({ mode: 'serial' });

let site: Site;
let profile: string;
let context: BrowserContext;
let page: Page;
const browserNonces: string[] = [];

async function open(url: string): Promise<void> {
  context = await openBrowser(profile);
  page = context.pages()[0] ?? await context.newPage();
  page.on('pageerror', (error) => { throw error; });
  await page.goto(url);
  await engineReady(page);
}

// keepNonces collects what the browser's own recorder saw; a kill loses the
// rest, which the receiving ends have recorded.
async function keepNonces(): Promise<void> {
  browserNonces.push(...await page.evaluate(() => lamplighter.nonceLog()));
}

const id = (name: string) => page.getByTestId(name);

test.beforeAll(async () => {
  site = await Site.start(['--devices', String(lamps)]);
  profile = mkdtempSync(join(tmpdir(), 'lamplighter-profile-'));
});

test.afterAll(async () => {
  await context?.close();
  await site?.stop();
});

test('an invitation link makes a site and leaves nothing of itself in the address', async () => {
  await open(site.link.replace('/#', '/?record#'));
  await expect(id('site-name')).toHaveText('Riverside School');
  expect(page.url()).not.toContain('#i=');
  expect(await page.evaluate(() => document.cookie)).toBe(''); // HttpOnly
});

test('labels are imported, a broken line is told by number and reason', async () => {
  await id('nav-devices').click();
  await id('import-open').first().click();
  const lines = site.labels.trim().split('\n');
  lines.splice(3, 0, 'this,is,no,label');
  await id('import-text').fill(lines.join('\n'));
  await expect(id('import-rejected-line')).toHaveCount(1);
  await expect(id('import-rejected-line')).toContainText('Line 4');
  await expect(id('import-added')).toContainText(`${lamps} new`);
  await id('import-confirm').click();
  await expect(id('device-row')).toHaveCount(lamps);
});

test('discovery finds every lamp', async () => {
  await id('discover').click();
  await expect(id('devices-summary')).toContainText(`${lamps} found`);
});

test('a join goes on after the browser was killed in the middle of it', async () => {
  await id('join-group').selectOption(group);
  await id('join').click();
  await id('backup-later').click();
  // In the middle: some lamps are in, others are not.
  await expect.poll(async () => (await site.members(group)).length, { intervals: [5] }).toBeGreaterThan(5);
  await keepNonces();
  killBrowser(profile);
  await new Promise((done) => context.once('close', done));
  const joined = (await site.members(group)).length;
  expect(joined, 'the kill came too late to show anything').toBeLessThan(lamps + 1);

  await open(site.origin + '/?record#/jobs');
  await expect(id('job').first()).toHaveAttribute('data-state', 'done');
  const members = await site.members(group);
  const subjects = members.map((m) => m.subject);
  expect(new Set(subjects).size, 'somebody joined twice').toBe(subjects.length);
  expect(members.length).toBe(lamps + 1); // and the browser itself
  for (const lamp of await site.lamps()) {
    expect(lamp.claimed, lamp.label).toBe(true);
    expect(lamp.groups?.map((g) => g.name), lamp.label).toEqual([group]);
  }
});

test('after a reload one message switches and dims all lamps', async () => {
  await keepNonces();
  await page.reload();
  await engineReady(page);
  await page.goto(site.origin + `/?record#/groups/${group}`);
  await id('light-switch').click();
  await expect(id('stat-answered')).toHaveText(`${lamps} of ${lamps}`);
  for (const lamp of await site.lamps()) expect(lamp.light.on, lamp.label).toBe(true);
  await id('light-level').fill('40');
  await expect.poll(async () => (await site.lamps()).every((lamp) => lamp.light.level === 40)).toBe(true);
  await expect(id('stat-proof')).not.toHaveText('…');
});

test('the roll call verifies all, and says who is silent', async () => {
  await id('roll-call').click();
  await expect(id('stat-answered')).toHaveText(`${lamps} of ${lamps}`);
  await expect(id('stat-proof')).not.toHaveText('…');
  const off = (await site.lamps())[7]!;
  await site.power(off.id, false);
  await id('roll-call').click();
  await expect(id('stat-answered')).toHaveText(`${lamps - 1} of ${lamps}`);
  await expect(id('stat-proof')).not.toHaveText('…');
  await id('view-list').click();
  const row = id('answer-row').filter({ hasText: off.label + ' ' }).or(page.locator(`[data-testid=answer-row][data-device="${off.id}"]`)).first();
  await expect(row).toContainText('silent');
  await site.power(off.id, true);
  await id('roll-call').click(); // it rebooted: challenged with Echo, asked again
  await expect(id('stat-answered')).toHaveText(`${lamps} of ${lamps}`);
  await expect(id('stat-proof')).not.toHaveText('…');
});

test('one device blinks', async () => {
  const lamp = (await site.lamps())[2]!;
  await id('nav-devices').click();
  await page.locator(`[data-testid=device-row][data-device="${lamp.id}"]`).getByTestId('device-blink').click();
  await expect.poll(async () => (await site.lamps()).find((l) => l.id === lamp.id)?.blinking).toBe(true);
});

test('a lamp that left does not answer any more, the others have new keys', async () => {
  const lamp = (await site.lamps())[4]!;
  const job = await page.evaluate(([group, device]) => lamplighter.leave(group!, [device!]), [group, lamp.id]);
  await page.goto(site.origin + `/?record#/jobs`);
  await expect(page.locator(`[data-testid=job][data-job="${job.id}"]`)).toHaveAttribute('data-state', 'done');
  expect((await site.members(group)).map((m) => m.subject)).not.toContain(lamp.id);
  const call = await page.evaluate((group) => lamplighter.rollCall(group), group);
  expect(call.verified).toBe(lamps - 1);
});

test('no nonce was used for two ciphertexts', async () => {
  await keepNonces();
  const all = [...site.nonces, ...browserNonces];
  expect(browserNonces.length).toBeGreaterThan(lamps);
  expect(all.length).toBeGreaterThan(lamps * 10);
  expect(reused(all)).toEqual([]);
});

test('the bridge saw no key, no plaintext, and nothing unprotected but the exceptions', async () => {
  const traffic = await site.traffic();
  expect(traffic.leaks).toEqual([]);
  expect(traffic.secrets).toBeGreaterThan(lamps * 10);
  expect(traffic.protected).toBeGreaterThan(lamps * 10);
  const allowed = [
    /^signal 7\.0[1-5]$/, // CSM, Ping, Pong, Release, Abort: hop by hop
    /^GET \/\.well-known\/core$/, /^2\.05 to GET \/\.well-known\/core$/, // discovery, before any key
    /^GET \/$/, // Early Stop Request: a token and nothing else
    /^GET \/ll\/id$/, /^2\.05 to GET \/ll\/id$/, // asked after a refused claim, to say why
    /^POST \/authz-info$/, /^2\.01 to POST \/authz-info$/, // RFC 9203, Section 4
    /^4\.01 to a protected request$/, // the other side rebooted and has no context
    /^5\.0[234] to .*$/, // the bridge's own: no such target, no answer
  ];
  for (const kind of Object.keys(traffic.unprotected)) {
    expect(allowed.some((rule) => rule.test(kind)), kind).toBe(true);
  }
});
