// The screens of firmware over an engine made of fixtures: each state of a file, a
// plan and a rollout, how it looks to assistive technology, and what it calls.
import { AxeBuilder } from '@axe-core/playwright';
import { expect, test, type BrowserContext, type Page } from '@playwright/test';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBrowser, tablet, wide, type View } from '../browser.ts';
import * as fixture from '../firmware.ts';
import { calls, openStub, servePage, type Replies } from '../stub.ts';
import { bytes, duration, percent, rate } from '../../web/src/firmware/units.ts';
import type { Rollout, Snapshot } from '../../web/src/engine.gen.ts';

const lamps = 18;
const pictures = process.env.LAMPLIGHTER_PICTURES; // a folder: look at the screens

let server: Awaited<ReturnType<typeof servePage>>;
let context: BrowserContext;

test.beforeAll(async () => {
  server = await servePage();
  context = await openBrowser(mkdtempSync(join(tmpdir(), 'lamplighter-profile-')));
});
test.afterAll(async () => {
  await context.close();
  server.close();
});

const open = (route: string, snapshot: Snapshot, replies: Replies = {}, view: View = wide): Promise<Page> =>
  openStub(context, `${server.origin}/#/${route}`, snapshot, { firmwareImages: [], inspectFirmware: fixture.image, planFirmware: fixture.plan(lamps), ...replies }, view);

const file = (name: string, content: string | Buffer) => ({ name, mimeType: '', buffer: Buffer.from(content) });
const suit = file('lamp-2.4.0.suit', Buffer.from([0xd8, 0x6b, 0xa2]));
const board = (page: Page, rollout: Rollout) => page.evaluate((rollout) => stub.emit({ type: 'rollout', rollout }), rollout);

test('figures have their units', () => {
  const plain = (text: string) => text.replaceAll('\u00a0', ' ');
  expect([0, 1, 1023, 1536, 256 << 10, 1 << 20].map(bytes).map(plain)).toEqual(['0 bytes', '1 byte', '1023 bytes', '1.5 KiB', '256 KiB', '1 MiB']);
  expect([8000, 50_000, 1e6, 1_240_000].map(rate).map(plain)).toEqual(['8 kbit/s', '50 kbit/s', '1 Mbit/s', '1.2 Mbit/s']);
  expect([0, 0.048, 0.12, 1].map(percent).map(plain)).toEqual(['0 %', '4.8 %', '12 %', '100 %']);
  expect([0.4, 9.96, 58.4, 99.4, 100, 4920, 12_000, 10_800].map(duration).map(plain)).toEqual(['0.4 s', '10 s', '58 s', '99 s', '2 min', '82 min', '3 h 20 min', '3 h']);
});

test('from a group to a plan: nothing is sent before the one button is pressed', async () => {
  const page = await open(`groups/${fixture.group}`, fixture.snapshot(lamps), { startFirmware: fixture.snapshot(lamps, [fixture.rollout(15, 0)]).jobs[0]! });
  await page.getByTestId('group-firmware').click();
  await page.getByTestId('firmware-file').setInputFiles(suit);
  await expect(page.getByTestId('firmware-image')).toHaveAttribute('data-digest', fixture.image.digest);
  await expect(page.getByTestId('firmware-image')).toContainText('256 KiB');
  await expect(page.getByTestId('firmware-signer')).toHaveText('signature verified');
  await expect(page.getByTestId('firmware-plan')).toHaveAttribute('data-fits', '15');
  await expect(page.getByTestId('firmware-one-by-one')).toHaveText('82 min');
  await expect(page.getByTestId('firmware-left').getByTestId('firmware-fit')).toHaveCount(3);
  await expect(page.locator('[data-testid=firmware-fit][data-problem=fw-wrong-class]')).toContainText('another class of device');
  await page.getByTestId('firmware-profile-802.15.4').click();
  await page.getByTestId('firmware-options').click();
  await page.getByTestId('firmware-canary').fill('2');
  await page.getByTestId('firmware-hold').check();
  await expect.poll(async () => (await calls(page, 'planFirmware')).at(-1)).toMatchObject([fixture.group, fixture.image.digest, { profile: '802.15.4', canary: 2, hold: true }]);
  expect(await calls(page, 'startFirmware')).toEqual([]);
  await page.getByTestId('firmware-start').click();
  await expect(page.getByTestId('main')).toBeVisible();
  await expect(page).toHaveURL(/#\/jobs\/fw1$/);
  expect(await calls(page, 'startFirmware')).toMatchObject([[fixture.group, fixture.image.digest, { canary: 2, hold: true }]]);
  await page.close();
});

test('while a plan is made one sees who has answered and who is waited for', async () => {
  const page = await open(`firmware/${fixture.group}`, fixture.snapshot(lamps), { planFirmware: { never: true } });
  await page.getByTestId('firmware-file').setInputFiles(suit);
  const asking = page.getByTestId('firmware-planning');
  await expect(asking).toContainText('asking the lamps of Hall ceiling');
  const tell = (answered: number, silent: number, waiting: string[]) => page.evaluate((planning) => stub.emit({ type: 'planning', planning }), { group: fixture.group, asked: lamps, answered, silent, waiting });
  await tell(4, 0, [0, 1, 2, 3, 4].map(fixture.id));
  await expect(asking).toHaveText('asked 18, 4 answered, waiting for 14');
  await tell(15, 1, [0, 5].map(fixture.id));
  await expect(asking).toHaveText('asked 18, 15 answered, 1 silent, waiting for 2: Hall 1, Stage 2');
  await expect(page.getByTestId('firmware-start')).toBeDisabled();
  await page.close();
});

test('a file of 4 MiB goes to the engine whole, as base64', async () => {
  const page = await open(`firmware/${fixture.group}`, fixture.snapshot(lamps));
  const bytes = Buffer.alloc(4 << 20, 0x5a);
  bytes.set([0xd8, 0x6b]);
  await page.getByTestId('firmware-file').setInputFiles(file('large.suit', bytes));
  await expect(page.getByTestId('firmware-image')).toBeVisible();
  const [[text]] = await calls(page, 'inspectFirmware') as [[string]];
  expect(Buffer.from(text, 'base64').equals(bytes)).toBe(true);
  await page.close();
});

for (const [name, content, says] of [
  ['manual.pdf', '%PDF-1.7', 'is a PDF document'],
  ['nothing.suit', '', 'is empty'],
  ['firmware.zip', 'PK\u0003\u0004', 'is a ZIP archive'],
  ['image.hex', ':100000000C94', 'is an Intel HEX file'],
] as const) {
  test(`${name} is no firmware, and the page says what is expected`, async () => {
    const page = await open(`firmware/${fixture.group}`, fixture.snapshot(lamps));
    await page.getByTestId('firmware-file').setInputFiles(file(name, content));
    await expect(page.getByTestId('firmware-problem')).toContainText(says);
    await expect(page.getByTestId('firmware-problem')).toContainText('SUIT envelope');
    expect(await calls(page, 'inspectFirmware')).toEqual([]);
    await page.close();
  });
}

test('a file that is dropped is taken; what the engine refuses is said', async () => {
  const refuse = { code: 'fw-signature', message: 'The signature does not fit the file.', next: 'Get the file from the vendor again.' };
  const page = await open(`firmware/${fixture.group}`, fixture.snapshot(lamps), { inspectFirmware: { refuse } });
  const data = await page.evaluateHandle(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array([0xd8, 0x6b, 0xa2])], 'lamp.suit'));
    return transfer;
  });
  await page.getByTestId('firmware-drop').dispatchEvent('drop', { dataTransfer: data });
  await expect(page.getByTestId('firmware-problem')).toContainText(refuse.message);
  await expect(page.getByTestId('firmware-problem')).toContainText(refuse.next);
  await page.close();
});

test('many that are left out are told by their reasons, each on demand', async () => {
  const page = await open(`firmware/${fixture.group}`, fixture.snapshot(lamps), { planFirmware: fixture.plan(lamps, 8) });
  await page.getByTestId('firmware-file').setInputFiles(suit);
  await expect(page.getByTestId('firmware-reasons').getByRole('listitem')).toHaveCount(4);
  await expect(page.getByTestId('firmware-left')).toBeHidden();
  await page.getByTestId('firmware-all-left').click();
  await expect(page.getByTestId('firmware-left').getByTestId('firmware-fit')).toHaveCount(8);
  await page.close();
});

test('an image of before is used again; somebody else’s update can be taken over', async () => {
  const page = await open('firmware', fixture.snapshot(lamps), { firmwareImages: [fixture.image], planFirmware: fixture.plan(lamps, 4) });
  await page.getByTestId('firmware-kept').click();
  await page.getByTestId('firmware-take-over').click();
  await expect.poll(async () => (await calls(page, 'planFirmware')).at(-1)).toMatchObject([fixture.group, fixture.image.digest, { takeOver: true }]);
  await page.close();
});

test('the board follows the rollout from the first block to the report', async () => {
  const page = await open('jobs/fw1', fixture.snapshot(lamps, [fixture.rollout(lamps, 0.5)]), { firmwareReport: 'device,state\r\n', pauseFirmware: null as never });
  await expect(page.getByTestId('rollout-percent')).toHaveText(/Sending \d\d\s%/);
  await expect(page.getByTestId('wave')).toHaveCount(3);
  await expect(page.getByTestId('stat-ratio')).toHaveText('1.12 ×'.replace(' ', '\u00a0'));
  await expect(page.getByTestId('chart-loss')).toHaveAttribute('aria-label', /now all [\d.]+\s%, worst [\d.]+\s%/);
  await page.getByTestId('rollout-pause').click();
  expect(await calls(page, 'pauseFirmware')).toEqual([['fw1']]);
  await board(page, fixture.rollout(lamps, 0.5, { paused: true }));
  await expect(page.getByTestId('rollout-resume')).toBeVisible();
  await board(page, fixture.rollout(lamps, 1.17, { waits: true }));
  await expect(page.getByTestId('rollout-advance')).toBeVisible();
  await expect(page.locator('[data-testid=wave][data-wave="0"]')).toHaveAttribute('data-state', 'done');
  await board(page, fixture.rollout(lamps, 2));
  await expect(page.getByTestId('rollout-result')).toContainText(`${lamps} of ${lamps} run Lamp firmware 2.4.0.`);
  const [report] = await Promise.all([page.waitForEvent('download'), page.getByTestId('rollout-csv').click()]);
  expect(report.suggestedFilename()).toMatch(/^hall-ceiling-firmware-2\.4\.0-.*\.csv$/);
  await page.emulateMedia({ media: 'print' });
  await expect(page.getByTestId('rollout-report')).toBeVisible();
  await expect(page.getByTestId('rollout')).toBeHidden();
  await page.close();
});

test('the end of an update is said on every screen', async () => {
  const before = fixture.snapshot(lamps, [fixture.rollout(lamps, 1.9)]);
  const page = await open('devices', before);
  await page.evaluate((job) => stub.emit({ type: 'job', job: { ...job, state: 'done', ended: Date.now(), done: job.total } }), before.jobs[0]!);
  await expect(page.getByTestId('toast')).toContainText(`Updated Hall ceiling: done, ${lamps} of ${lamps}.`);
  await page.getByTestId('toast-action').click();
  await expect(page.getByTestId('rollout')).toBeVisible();
  await page.close();
});

test('a rollout that stopped says the first cause, and retries only when asked', async () => {
  const page = await open('jobs/fw1', fixture.snapshot(lamps, [fixture.stopped(lamps)]), { retryJob: fixture.snapshot(lamps, [fixture.stopped(lamps)]).jobs[0]! });
  await expect(page.getByTestId('rollout-failure')).toContainText('did not start');
  await expect(page.locator('[data-testid=rollout-device][data-state=reverted]')).toHaveCount(1);
  await expect(page.getByTestId('rollout-device')).toHaveCount(2);
  await page.getByTestId('rollout-view-all').click();
  await expect(page.getByTestId('rollout-device')).toHaveCount(lamps);
  await page.getByTestId('rollout-retry').click();
  expect(await calls(page, 'retryJob')).toEqual([['fw1']]);
  await page.close();
});

test('who was only stopped has not failed', async () => {
  const page = await open('jobs/fw1', fixture.snapshot(lamps, [fixture.aborted(lamps)]));
  await expect(page.getByTestId('rollout-legend')).toHaveText(`${lamps} not updated`);
  await expect(page.getByTestId('rollout-retry')).toHaveText('Go on with the rest');
  await expect(page.getByTestId('rollout-failure')).toHaveCount(0);
  await expect(page.getByTestId('rollout-device')).toHaveCount(0);
  await page.close();
});

test('a thousand lamps: the board keeps up with the engine', async () => {
  const page = await open('jobs/fw1', fixture.snapshot(1000, [fixture.rollout(1000, 0.3)]));
  await page.getByTestId('rollout-view-all').click();
  const updates = Array.from({ length: 8 }, (_, i) => fixture.rollout(1000, 0.3 + i / 20));
  const longest = await page.evaluate(async (updates) => {
    let longest = 0;
    for (const rollout of updates) {
      const began = performance.now();
      stub.emit({ type: 'rollout', rollout });
      await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
      longest = Math.max(longest, performance.now() - began);
      await new Promise((done) => setTimeout(done, 250));
    }
    return longest;
  }, updates);
  console.log(`    longest update ${Math.round(longest)} ms`);
  expect(longest).toBeLessThan(1000); // two slow cores; a desk has a tenth of it
  await page.close();
});

test('a keyboard alone drops nothing and still gets there', async () => {
  const page = await open(`firmware/${fixture.group}`, fixture.snapshot(lamps), { firmwareImages: [fixture.image] });
  const reach = async (name: string) => {
    for (let i = 0; i < 40; i++) {
      if (await page.evaluate((name) => document.activeElement?.getAttribute('data-testid') === name, name)) return;
      await page.keyboard.press('Tab');
    }
    throw new Error(name + ' is not reached');
  };
  await reach('firmware-kept');
  await page.keyboard.press('Enter');
  await expect(page.locator('#image-name')).toBeFocused();
  await expect(page.getByTestId('firmware-start')).toBeEnabled();
  await reach('firmware-start');
  await page.keyboard.press('Enter');
  expect(await calls(page, 'startFirmware')).toHaveLength(1);
  await page.close();
});

const states: [string, string, Snapshot, Replies, string[]][] = [
  ['file', `firmware/${fixture.group}`, fixture.snapshot(lamps), { firmwareImages: [fixture.image] }, []],
  ['wrong', `firmware/${fixture.group}`, fixture.snapshot(lamps), {}, ['wrong']],
  ['plan', `firmware/${fixture.group}`, fixture.snapshot(lamps), { planFirmware: fixture.plan(lamps, 4) }, ['file', 'firmware-options']],
  ['asking', 'jobs/fw1', fixture.snapshot(lamps, [fixture.rollout(lamps, 0, { phase: 'planning', blocks: 0, generations: [], waves: [] })]), {}, []],
  ['sending', 'jobs/fw1', fixture.snapshot(lamps, [fixture.rollout(lamps, 0.68)]), {}, ['rollout-view-all']],
  ['hundred', 'jobs/fw1', fixture.snapshot(100, [fixture.rollout(100, 0.68)]), {}, []],
  ['switching', 'jobs/fw1', fixture.snapshot(lamps, [fixture.rollout(lamps, 1.4)]), {}, []],
  ['waits', 'jobs/fw1', fixture.snapshot(lamps, [fixture.rollout(lamps, 1.17, { waits: true })]), {}, []],
  ['stopped', 'jobs/fw1', fixture.snapshot(lamps, [fixture.stopped(lamps)]), {}, []],
  ['done', 'jobs/fw1', fixture.snapshot(lamps, [fixture.rollout(lamps, 2)]), {}, []],
  ['jobs', 'jobs', fixture.snapshot(lamps, [fixture.rollout(lamps, 0.68)]), {}, []],
];

type Look = [size: 'wide' | 'tablet', theme: string, density: string];
const looks = (['wide', 'tablet'] as const).flatMap((size): Look[] => [[size, 'light', 'normal'], [size, 'dark', 'normal'], [size, 'sun', 'normal'], [size, 'light', 'gloves']]);
const brief: Look[] = [['wide', 'light', 'normal'], ['tablet', 'dark', 'gloves']];
const thorough = ['plan', 'sending', 'stopped'];

const sideways = (page: Page) => page.evaluate(() => {
  const main = document.querySelector('main')!;
  return Math.max(document.documentElement.scrollWidth - innerWidth, main.scrollWidth - main.clientWidth);
});

for (const [name, route, snapshot, replies, steps] of states) {
  test(`${name}: accessible and large enough to touch, whatever it wears`, async () => {
    const page = await open(route, snapshot, replies);
    for (const step of steps) {
      if (step === 'file' || step === 'wrong') await page.getByTestId('firmware-file').setInputFiles(step === 'file' ? suit : file('manual.pdf', '%PDF'));
      else await page.getByTestId(step).click();
    }
    for (const [size, theme, density] of pictures || thorough.includes(name) ? looks : brief) {
      const at = `${size} ${theme} ${density}`;
      await page.setViewportSize(size === 'wide' ? wide : tablet);
      await page.evaluate(([theme, density]) => Object.assign(document.documentElement.dataset, { theme, density }), [theme, density]);
      await page.waitForTimeout(250); // colours fade for 160 ms
      if (pictures) await page.screenshot({ path: join(pictures, `${name}-${theme}-${density}-${size}.png`) });
      const found = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']).analyze();
      expect(found.violations.map((v) => `${at}: ${v.id} ${v.nodes[0]?.html}`)).toEqual([]);
      expect(await small(page, density === 'gloves' ? 72 : 48), at).toEqual([]);
      expect(await sideways(page), `${at} scrolls sideways`).toBeLessThanOrEqual(0);
    }
    await page.close();
  });
}

// small lists visible controls of the screen below a size, but for those inside a larger label.
function small(page: Page, least: number): Promise<string[]> {
  return page.evaluate((least) => [...document.querySelectorAll<HTMLElement>('main :is(button, a[href], input, select, textarea, summary)')]
    .filter((e) => e.checkVisibility() && !e.classList.contains('sr') && !e.closest('label'))
    .map((e) => ({ e, box: e.getBoundingClientRect() }))
    .filter(({ box }) => box.height < least - 0.5 || box.width < least - 0.5)
    .map(({ e, box }) => `${e.dataset['testid'] ?? e.outerHTML.slice(0, 80)} ${Math.round(box.width)}x${Math.round(box.height)}`), least);
}
