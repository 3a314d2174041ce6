// What an administrator does in the page: make a group, evict a member, send new
// keys, invite and revoke people. What the page says is held against the lamps'
// real state.
import { expect, test, type BrowserContext, type Page } from '@playwright/test';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { engineReady, openBrowser, wide } from '../browser.ts';
import { type Lamp, Site } from '../site.ts';

const lamps = 30;
const group = 'workshop';

test.describe.configure({ mode: 'serial' });

let site: Site;
let admin: Page;
let second: Page;
const contexts: BrowserContext[] = [];

async function browser(url: string): Promise<Page> {
  const context = await openBrowser(mkdtempSync(join(tmpdir(), 'lamplighter-profile-')), wide);
  contexts.push(context);
  const page = context.pages()[0] ?? await context.newPage();
  page.on('pageerror', (error) => { throw error; });
  await page.goto(url);
  await engineReady(page);
  return page;
}

const id = (name: string) => admin.getByTestId(name);
const place = (lamp: Lamp) => lamp.groups?.find((g) => g.name === group);
const lampOf = async (device: string): Promise<Lamp> => (await site.lamps()).find((l) => l.id === device)!;

// rekeyed waits until the page says that so many members have the keys of an epoch.
async function rekeyed(epoch: number, confirmed: number): Promise<void> {
  await expect(id('rekeying')).toHaveAttribute('data-epoch', String(epoch));
  await expect(id('rekeying')).toHaveAttribute('data-reached', String(confirmed));
}

const epochNow = () => admin.evaluate(async (group) => (await lamplighter.snapshot()).groups.find((g) => g.name === group)!.epoch, group);

async function newKeys(confirmed: number): Promise<number> {
  const before = await epochNow();
  await id('new-keys').click();
  await expect(id('rekey-receive')).toBeVisible();
  await id('rekey-yes').click();
  await rekeyed(before + 1, confirmed);
  return before + 1;
}

test.beforeAll(async () => {
  site = await Site.start(['--devices', String(lamps)]);
});

test.afterAll(async () => {
  for (const context of contexts) await context.close();
  await site?.stop();
});

test('an administrator makes a group and joins 30 lamps to it', async () => {
  admin = await browser(site.link);
  await id('nav-groups').click();
  await id('group-new').click();
  await id('group-name').fill('Bad name');
  await id('group-save').click(); // the form says that this is no name
  await expect(id('group-form-dialog')).toBeVisible();
  await id('group-name').fill(group);
  await id('group-description').fill('Benches and drills');
  await id('group-save').click();
  await expect(id('group-state')).toHaveText('active');
  await expect(id('group-admin')).toContainText('Benches and drills');

  await admin.evaluate(async (labels) => { await lamplighter.importLabels(labels); await lamplighter.discover(); }, site.labels);
  await id('nav-devices').click();
  await id('join-group').selectOption(group);
  await id('join').click();
  await id('backup-later').click();
  await expect.poll(async () => (await site.lamps()).filter(place).length).toBe(lamps);
  await admin.goto(site.origin + `/#/groups/${group}`);
  await id('light-switch').click();
  await expect(id('stat-answered')).toHaveText(`${lamps} of ${lamps}`);
  await expect(id('gm-member')).toHaveCount(lamps + 1);
});

test('an evicted lamp hears no command any more, the other 29 still answer', async () => {
  const lamp = (await site.lamps())[5]!;
  const before = await epochNow();
  await admin.locator(`[data-testid=gm-member][data-device="${lamp.id}"]`).getByTestId('evict').click();
  await expect(id('rekey-stale')).toContainText(Buffer.from(place(lamp)!.senderID, 'base64').toString('hex'));
  await expect(id('rekey-receive')).toContainText(String(lamps)); // 29 lamps and the browser
  await id('rekey-yes').click();
  await rekeyed(before + 1, lamps);
  await expect(id('rekeying')).toHaveAttribute('data-running', 'false');
  await expect(id('gm-member')).toHaveCount(lamps);
  expect((await site.members(group)).map((m) => m.subject)).not.toContain(lamp.id);

  await id('light-switch').click(); // off
  await expect(id('stat-answered')).toHaveText(`${lamps - 1} of ${lamps - 1}`);
  for (const one of await site.lamps()) {
    expect(one.light.on, one.label).toBe(one.id === lamp.id);
    expect(place(one) !== undefined, one.label).toBe(one.id !== lamp.id);
  }
});

test('a lamp that was off through three rekeyings recovers by itself', async () => {
  const lamp = (await site.lamps())[9]!;
  await site.power(lamp.id, false);
  let epoch = 0;
  for (let i = 0; i < 3; i++) epoch = await newKeys(lamps - 1); // all but this one
  await expect(id('rekeying')).toHaveAttribute('data-running', 'true'); // it is tried again
  await site.power(lamp.id, true);
  await expect.poll(async () => place(await lampOf(lamp.id))).toMatchObject({ num: epoch, inSync: true });
  await id('roll-call').click();
  await expect(id('stat-answered')).toHaveText(`${lamps - 1} of ${lamps - 1}`);
});

test('a paused group takes no commands until it is resumed', async () => {
  await id('group-pause').click();
  await id('confirm-yes').click();
  await expect(id('group-state')).toHaveText('paused');
  const paused = async () => (await site.lamps()).filter((lamp) => place(lamp)?.paused).length;
  await expect.poll(paused).toBe(lamps - 1); // the lamps know it too
  const refused = await admin.evaluate((group) => lamplighter.setLight(group, { on: true }).then(() => '', (e: Error & { code: string }) => e.code), group);
  expect(refused).toBe('group-paused');
  await id('group-pause').click();
  await expect(id('group-state')).toHaveText('active');
  await expect.poll(paused).toBe(0);
  await id('roll-call').click();
  await expect(id('stat-answered')).toHaveText(`${lamps - 1} of ${lamps - 1}`);
});

const benLamps: string[] = [];

test('an installer who is revoked is told at once and can do nothing more', async () => {
  benLamps.push((await site.lamps())[11]!.id, (await site.lamps())[12]!.id);
  await id('nav-people').click();
  await id('invite-open').click();
  await id('invite-name').fill('Ben');
  await id('invite-role-installer').check();
  await id('invite-make').click();
  const link = await id('invite-link').inputValue();
  await id('invite-done').click();
  await expect(admin.locator('[data-testid=person][data-name=Ben]')).toHaveAttribute('data-state', 'invited');

  second = await browser(link);
  await expect(second.getByTestId('site-name')).toHaveText('Riverside School');
  await expect(second.getByTestId('nav-people')).toHaveCount(0);
  await admin.getByTestId('nav-site').click();
  await admin.getByTestId('nav-people').click();
  await id('commissioners-update').click(); // the lamps hear who may manage them
  await expect(id('commissioners-update')).toHaveCount(0);
  await expect.poll(() => admin.evaluate(async () => (await lamplighter.snapshot()).devices.filter((d) => d.listPending).length)).toBe(0);

  // Ben joins two of the lamps anew: their keys come with his rights then.
  const state = await second.evaluate(async ({ labels, group, ids }) => {
    await lamplighter.importLabels(labels);
    await lamplighter.discover();
    const job = await lamplighter.renew(group, ids);
    for (;;) {
      const now = (await lamplighter.snapshot()).jobs.find((j) => j.id === job.id)!;
      if (now.state !== 'running' && now.state !== 'waiting') return JSON.stringify([now.state, now.items.map((i) => i.problem)]);
      await new Promise((done) => setTimeout(done, 50));
    }
  }, { labels: site.labels, group, ids: benLamps });
  expect(state).toBe('["done",[null,null]]');
  await second.evaluate((group) => lamplighter.enter(group), group);
  await expect.poll(async () => (await site.members(group)).length).toBe(lamps + 1);

  await admin.getByTestId('nav-site').click();
  await admin.getByTestId('nav-people').click();
  await expect(admin.locator('[data-testid=person][data-name=Ben]')).toHaveAttribute('data-state', 'has access');
  await admin.locator('[data-testid=person][data-name=Ben]').getByTestId('person-revoke').click();
  await id('confirm-yes').click();
  await expect(admin.locator('[data-testid=person][data-name=Ben]')).toHaveAttribute('data-state', 'revoked');

  await expect(second.getByTestId('banner')).toContainText('revoked');
  const refused = await second.evaluate((group) => lamplighter.rollCall(group).then(() => '', (e: Error & { code: string }) => e.code), group);
  expect(refused).not.toBe('');
  await expect.poll(async () => (await site.members(group)).length).toBe(lamps); // evicted
  await expect.poll(async () => (await lampOf(benLamps[0]!)).groups?.[0]?.num).toBeLessThan(await epochNow()); // no keys for what he obtained
  const again = await second.evaluate((fragment) => lamplighter.acceptInvitation(fragment).then(() => '', (e: Error & { code: string }) => e.code), new URL(link).hash);
  expect(again).not.toBe(''); // the link opens nothing either
});

test('the lamps go on answering the administrator, those that the installer had joined once they are renewed', async () => {
  await admin.goto(site.origin + `/#/groups/${group}`);
  await id('renew').click();
  await expect.poll(async () => (await lampOf(benLamps[1]!)).groups?.[0]?.num).toBe(await epochNow());
  await expect(id('renew')).toHaveCount(0);
  await id('roll-call').click();
  await expect(id('stat-answered')).toHaveText(`${lamps - 1} of ${lamps - 1}`);
});

test('a maintainer finds the lamps by their labels, commands them, and changes nothing', async () => {
  const { fragment } = await admin.evaluate(() => lamplighter.invite('Mia', 'maintainer', 1));
  const third = await browser(site.origin + '/#' + fragment);
  await expect(third.getByTestId('site-name')).toHaveText('Riverside School');
  await third.evaluate(async (labels) => { await lamplighter.importLabels(labels); await lamplighter.discover(); }, site.labels);
  await third.goto(site.origin + `/#/groups/${group}`);
  await expect(third.getByTestId('gm-member')).toHaveCount(lamps);
  await expect(third.getByTestId('evict')).toHaveCount(0);
  await third.getByTestId('light-switch').click();
  await expect(third.getByTestId('stat-answered')).toHaveText(`${lamps - 1} of ${lamps - 1}`);
  const refused = await third.evaluate((group) => lamplighter.newKeys(group).then(() => '', (e: Error & { code: string }) => e.code), group);
  expect(refused).toBe('gm-denied');
});

test('a group that is deleted is gone at the lamps too', async () => {
  await id('group-delete').click();
  await id('confirm-yes').click();
  await expect(id('group-card').filter({ hasText: 'Workshop' })).toHaveCount(0);
  await expect.poll(async () => (await site.lamps()).filter(place).length).toBe(0);
});
