// The screens of settings over an engine made of fixtures: what a form says of a
// wrong value, what it calls, and what a board asks of a person.
import { AxeBuilder } from '@axe-core/playwright';
import { expect, test, type BrowserContext, type Page } from '@playwright/test';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBrowser, tablet, wide, type View } from '../browser.ts';
import { group, id, snapshot } from '../firmware.ts';
import { calls, openStub, servePage, type Replies } from '../stub.ts';
import type { RollCall, SettingDef, SettingsChange, SettingsDevice, SettingsRow, SettingsRun, SettingsSchema, Snapshot } from '../../web/src/engine.gen.ts';

const lamps = 6;
const model = 'lamp-dim-1';

function def(key: number, name: string, title: string, change: Partial<SettingDef> = {}): SettingDef {
  return { key, name, title, help: '', type: 'int', unit: '', min: null, max: null, step: null, default: null, perDevice: false, restart: false, network: false, choices: [], ids: null, members: [], ...change };
}

const level = def(2, 'max-level', 'Highest level', { unit: '%', min: 1, max: 100 });
const hold = def(8, 'hold-time', 'Hold time', { unit: 's', min: 10, max: 7200, step: 10 });
const scenes = def(6, 'scenes', 'Scenes', { type: 'map', ids: [0, 15], members: [def(1, 'level', 'Level', { unit: '%', min: 0, max: 100 }), def(2, 'fade', 'Fade time', { unit: 'ms', min: 0, max: 60000, step: 100, default: 700 })] });
const schema: SettingsSchema = { model, version: 1, digest: '01', signer: '02', signed: true, title: 'Dimmable lamp', problem: null, defs: [level, hold, scenes, def(10, 'trim', 'Trim', { perDevice: true, min: -20, max: 20 })] };
const devices: SettingsDevice[] = Array.from({ length: lamps }, (_, n) => ({
  device: id(n), model, schema: '01', at: 1, digest: '03', expected: '03', problem: null, values: { 2: 100, 8: 600, 6: { 3: { 1: 40, 2: 700 } }, 10: 0 }, drift: n === 5 ? [2] : [], state: n === 5 ? 'drifted' : 'ok',
}));
const change: SettingsChange = { group, model, template: '', values: { 2: 80 }, variables: {}, perDevice: {}, devices: [], in: 0, at: 0, confirmWithin: 0, mend: false, quorum: 0 };

function run(state: SettingsRow['state'], more: Partial<SettingsRun> = {}): SettingsRun {
  const rows = devices.map((one, n): SettingsRow => ({
    device: one.device, state: n === 5 ? 'drifted' : state, before: '03', expected: '04', is: '03', shared: true,
    changes: [{ key: 2, name: 'max-level', old: n === 5 ? 90 : 100, new: 80, is: 100, known: 100 }],
    problem: n === 5 ? { id: 'cfg-drifted', text: 'It runs other settings.', next: 'Look at the difference.', retry: false } : null,
  }));
  return { job: '', change, schema: '01', phase: 'planning', rows, requests: 1, bytes: 900, unicastRequests: 0, predictedRequests: 16, predictedBytes: 26000, oneByOneRequests: 600, switchAt: 0, revertAt: 0, started: Date.now(), ended: 0, undoUntil: 0, problem: null, network: false, ...more };
}

const job = (state: 'running' | 'done') => ({ id: 'cfg1', kind: 'settings', group, state, started: 1, ended: 0, total: lamps, done: 0, failed: 0, items: [] });
const site = (runs: SettingsRun[] = []): Snapshot => ({ ...snapshot(lamps), settings: runs, jobs: runs.map(() => job('running')) });

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
  openStub(context, `${server.origin}/#/${route}`, snapshot, { readSettings: devices, settingsSchemas: [schema], settingsTemplates: [], planSettings: run('planned'), checkSettings: run('checked'), ...replies }, view);

const input = (page: Page, name: string) => page.locator(`[data-testid=setting][data-name=${name}] [data-testid=setting-input]`);

test('a wrong value is told in words; patches are what devices merge', async () => {
  // The page's sources import each other as its bundler wants it, not as Node does.
  const page = '../../web/src/settings/';
  const { refusal } = await import(`${page}range.ts`) as { refusal(def: SettingDef, value: unknown): string };
  const { difference, merge, overlay, say } = await import(`${page}values.ts`) as { difference(a: unknown, b: unknown): unknown; merge(a: unknown, b: unknown): unknown; overlay(a: unknown, b: unknown): unknown; say(def: SettingDef, value: unknown): string };
  const plain = (text: string) => text.replaceAll('\u00a0', ' ');
  expect([0, 101, 1.5, NaN, 80].map((n) => plain(refusal(level, n)))).toEqual(['0 % is too little: at least 1 %.', '101 % is too much: at most 100 %.', 'Only whole numbers.', 'A number is missing.', '']);
  expect(plain(refusal(hold, 605))).toBe('In steps of 10 s: 600 or 610 s.');
  expect(refusal(level, '${level}')).toBe('');
  const before = { 3: { 1: 40, 2: 700 }, 4: { 1: 5 } };
  const after = { 3: { 1: 50, 2: 700 }, 5: { 1: 9 } };
  expect(difference(before, after)).toEqual({ 3: { 1: 50 }, 4: null, 5: { 1: 9 } });
  expect(merge(before, difference(before, after))).toEqual(after);
  expect(difference(before, before)).toBeUndefined();
  // what is written over a template, and saved as one, keeps the template's other scenes
  expect(overlay({ 2: 80, 6: { 3: { 1: 40 }, 4: null } }, { 6: { 3: { 2: 500 }, 5: null } })).toEqual({ 2: 80, 6: { 3: { 1: 40, 2: 500 }, 4: null, 5: null } });
  expect(plain(say(level, 80))).toBe('80 %');
});

test('while a change is planned one sees who has answered and who is waited for', async () => {
  const page = await open(`settings/${group}`, site(), { planSettings: { never: true } });
  await input(page, 'max-level').fill('80');
  await page.getByTestId('settings-plan').click();
  const asking = page.getByTestId('change-planning');
  await expect(asking).toHaveText('asking the devices what they run');
  await page.evaluate((planning) => stub.emit({ type: 'planning', planning }), { group, asked: lamps, answered: 4, silent: 1, waiting: [id(0)] });
  await expect(asking).toHaveText('asked 6, 4 answered, 1 silent, waiting for 1: Hall 1');
  await page.close();
});

test('from the group to the switch: nothing is applied before the one button', async () => {
  const page = await open(`groups/${group}`, site(), { applySettings: job('running'), settingsRun: run('staged', { job: 'cfg1', phase: 'staging' }) });
  await page.getByTestId('group-settings').click();
  await expect(page.getByTestId('settings-drift')).toContainText('other settings than were confirmed');
  await input(page, 'max-level').fill('140');
  await expect(page.getByTestId('setting-problem')).toContainText('at most 100');
  await expect(page.getByTestId('settings-plan')).toBeDisabled();
  await input(page, 'max-level').fill('80');
  await page.locator('[data-testid=setting-entry][data-id="3"] [data-name=level]').fill('55');
  await page.getByTestId('settings-plan').click();
  await expect(page.getByTestId('change')).toHaveAttribute('data-devices', '5');
  expect(await calls(page, 'planSettings')).toMatchObject([[{ group, model, values: { 2: 80, 6: { 3: { 1: 55 } } } }]]);
  await expect(page.locator('[data-testid=change-group][data-count="5"]')).toContainText('Highest level');
  await expect(page.locator('[data-testid=change-group][data-state=drifted] [data-testid=change-drifted]')).toHaveText(/100/);
  await page.getByTestId('change-check').click();
  await expect(page.getByTestId('change-checked')).toHaveAttribute('data-checked', '5');
  await page.getByTestId('when-in').click();
  await page.getByTestId('when-seconds').fill('30');
  expect(await calls(page, 'applySettings')).toEqual([]);
  await page.getByTestId('settings-switch').click();
  await expect(page).toHaveURL(/#\/jobs\/cfg1$/);
  expect(await calls(page, 'applySettings')).toMatchObject([[{ in: 30, values: { 2: 80 }, quorum: lamps - 1 }]]);
  await page.close();
});

test('a board on trial says when devices go back, and takes yes or no', async () => {
  const trial = run('trial', { job: 'cfg1', phase: 'trial', revertAt: Date.now() + 300_000 });
  const page = await open('jobs/cfg1', site([trial]), { confirmSettings: run('confirmed', { job: 'cfg1', phase: 'done', ended: Date.now(), undoUntil: Date.now() + 1e9 }) });
  await expect(page.getByTestId('run-deadline')).toContainText(/goes back by itself at .* unless you confirm/);
  await expect(page.getByTestId('run-countdown')).toHaveText(/^[45]:\d\d$/);
  await page.getByTestId('run-confirm').click();
  expect(await calls(page, 'confirmSettings')).toEqual([['cfg1']]);
  await expect(page.getByTestId('run')).toHaveAttribute('data-phase', 'done');
  await expect(page.getByTestId('run-undo')).toBeVisible();
  await page.close();
});

test('all on takes two presses', async () => {
  const page = await open(`settings/${group}/emergency`, site(), { emergencyLog: [], emergency: { group, kind: 'emergency', started: 1, ended: 2, answers: [], verified: 0, messages: 1, multicasts: 3, unicasts: 0, until: 0, median: 0, slowest: 0 } });
  await page.getByTestId('emergency-on').click();
  expect(await calls(page, 'emergency')).toEqual([]);
  await page.getByTestId('emergency-no').click();
  await page.getByTestId('emergency-on').click();
  await page.getByTestId('emergency-yes').click();
  await expect(page.getByTestId('emergency-end')).toBeVisible();
  expect(await calls(page, 'emergency')).toEqual([[group, true]]);
  await page.close();
});

test('what was typed for one model waits while another is changed; some devices alone are changed', async () => {
  const sensor: SettingsSchema = { ...schema, model: 'sensor-pir-1', digest: '05', title: 'Motion sensor', defs: [hold] };
  const page = await open(`settings/${group}`, site(), { settingsSchemas: [schema, sensor], readSettings: [...devices.slice(0, 5), { ...devices[5]!, model: sensor.model, schema: '05', values: { 8: 600 }, drift: [], state: 'ok' }] });
  await input(page, 'max-level').fill('80');
  await page.locator('[data-testid=settings-model][data-model=sensor-pir-1]').click();
  await input(page, 'hold-time').fill('300');
  await page.locator('[data-testid=settings-model][data-model=lamp-dim-1]').click();
  await expect(input(page, 'max-level')).toHaveValue('80');
  await page.getByTestId('settings-devices').click();
  await page.locator(`[data-testid=settings-device][data-device="${devices[1]!.device}"]`).getByTestId('settings-only').check();
  await expect(page.getByTestId('settings-for')).toContainText(/1 of 5.devices only/);
  await page.getByTestId('settings-plan').click();
  await expect(page.getByTestId('change')).toBeVisible();
  await expect.poll(() => calls(page, 'planSettings')).toMatchObject([[{ model, values: { 2: 80 }, devices: [devices[1]!.device] }]]);
  await page.close();
});

test('each device has its own: told at its field, sent with its name, shown together', async () => {
  const own = run('planned', { rows: Array.from({ length: 12 }, (_, n): SettingsRow => ({ ...run('planned').rows[0]!, device: id(n), changes: [{ key: 10, name: 'trim', old: 0, new: n - 6, is: 0, known: 0 }] })) });
  const page = await open(`settings/${group}`, site(), { planSettings: own });
  await page.getByTestId('settings-own').click();
  const trim = page.locator(`[data-testid=settings-own-row][data-device="${devices[1]!.device}"] [data-name=trim]`);
  await trim.fill('-30');
  await trim.blur();
  await expect(page.getByTestId('setting-problem')).toContainText('at least -20');
  await trim.fill('-5');
  await page.getByTestId('settings-plan').click();
  await expect.poll(() => calls(page, 'planSettings')).toMatchObject([[{ values: {}, perDevice: { [devices[1]!.device]: { 10: -5 } } }]]);
  await expect(page.getByTestId('change-group')).toHaveCount(1);
  await expect(page.getByTestId('change-new')).toContainText('see below');
  await page.getByTestId('change-devices').click();
  await expect(page.locator(`[data-testid=change-device][data-device="${id(0)}"]`)).toContainText('Trim: 0 → -6');
  await page.close();
});

test('settings go out as files; mistakes in a file are told by line, and nothing is taken', async () => {
  const refuse = { code: 'cfg-values', message: 'The settings cannot be used:\nline 2: min-level: 500 is above 100 %.\nline 3: lamp-dim-1 has no setting "nonsense".', next: 'Mend them, then try again.' };
  const page = await open(`settings/${group}`, site(), { exportSettings: 'device,setting,value\n', importSettings: { refuse } });
  for (const [format, ending] of [['csv', '.csv'], ['senml', '.senml.json']] as const) {
    const saved = page.waitForEvent('download');
    await page.getByTestId(`settings-export-${format}`).click();
    expect((await saved).suggestedFilename()).toContain(ending);
  }
  await expect.poll(() => calls(page, 'exportSettings')).toEqual([[group, 'csv'], [group, 'senml']]);
  await page.getByTestId('settings-import').click();
  await page.getByTestId('settings-import-file').setInputFiles({ name: 'hall.csv', mimeType: 'text/csv', buffer: Buffer.from('device,setting,value\nx,min-level,500\n') });
  await page.getByTestId('settings-import-confirm').click();
  const lines = page.getByTestId('settings-import-problem').locator('span');
  await expect(lines).toContainText('line 3: lamp-dim-1 has no setting');
  expect((await lines.evaluate((one: HTMLElement) => one.innerText)).split('\n').length).toBeGreaterThanOrEqual(4);
  expect(await calls(page, 'planSettings')).toEqual([]);
  await page.evaluate((change) => { stub.replies.importSettings = change; }, { ...change, perDevice: { [devices[0]!.device]: { 10: 3 } } });
  await page.getByTestId('settings-import-confirm').click();
  await expect(page.getByTestId('change')).toBeVisible();
  await expect.poll(() => calls(page, 'planSettings')).toMatchObject([[{ values: { 2: 80 }, perDevice: { [devices[0]!.device]: { 10: 3 } } }]]);
  await page.close();
});

test('a button is linked, and stays chosen while one looks at the change', async () => {
  const buttons = def(1, 'buttons', 'Buttons', { type: 'map', ids: [0, 3], members: [def(1, 'group', 'Group', { type: 'text' }), def(2, 'action', 'Action', { type: 'choice', default: 0, choices: [{ value: 0, title: 'Toggle' }, { value: 3, title: 'Recall the scene' }] }), def(3, 'scene', 'Scene', { min: 0, max: 15, default: 0 })] });
  const page = await open(`settings/${group}/links`, site(), { settingsSchemas: [{ ...schema, model: 'switch-2', defs: [buttons] }], readSettings: [{ ...devices[0]!, model: 'switch-2', values: {} }] });
  const row = page.locator('[data-testid=link-button][data-button="1"]');
  await row.getByTestId('link-group').selectOption(group);
  await row.getByTestId('link-action').selectOption('3');
  await row.getByTestId('link-scene').fill('4');
  await page.getByTestId('link-plan-switches').click();
  await expect.poll(() => calls(page, 'planSettings')).toMatchObject([[{ model: 'switch-2', devices: [devices[0]!.device], perDevice: { [devices[0]!.device]: { 1: { 1: { 1: group, 2: 3, 3: 4 } } } } }]]);
  await page.getByTestId('change-back').click();
  await expect(row.getByTestId('link-scene')).toHaveValue('4');
  await page.close();
});

test('a clock time to switch at is still to come', async () => {
  const page = await open(`settings/${group}`, site(), { applySettings: job('running'), settingsRun: run('staged', { job: 'cfg1', phase: 'staging' }) });
  await input(page, 'max-level').fill('80');
  await page.getByTestId('settings-plan').click();
  await page.getByTestId('when-at').click();
  const time = page.getByTestId('when-time');
  const before = await time.inputValue();
  await time.fill('2001-02-03T04:05');
  await time.blur();
  expect(await time.evaluate((one: HTMLInputElement) => one.validationMessage)).toContain('still to come');
  await time.fill(before);
  await time.blur();
  await page.getByTestId('settings-switch').click();
  await expect.poll(() => calls(page, 'applySettings')).toMatchObject([[{ in: 0, at: new Date(before).getTime() }]]);
  await page.close();
});

test('a change is undone from the list for 30 days; who missed it is planned again from its board', async () => {
  const ended = { job: 'cfg1', phase: 'done', ended: Date.now() } as const;
  const rows = run('confirmed').rows.map((row, n): SettingsRow => (n === 0 ? { ...row, state: 'silent', expected: '' } : row));
  const old = { ...run('confirmed'), ...ended, job: 'cfg0', ended: Date.now() - 1e10 };
  const undone = { ...change, values: { 2: 100 } };
  const page = await open(`settings/${group}`, site([run('confirmed', { ...ended, rows, undoUntil: Date.now() + 1e9 }), old]), { undoSettings: undone });
  await page.getByTestId('settings-past').click();
  await expect(page.getByTestId('past-change')).toHaveCount(2);
  await page.getByTestId('past-undo').click(); // one: the other is too long ago
  await expect(page.getByTestId('change')).toBeVisible();
  await expect.poll(() => calls(page, 'undoSettings')).toEqual([['cfg1']]);
  await expect.poll(() => calls(page, 'planSettings')).toMatchObject([[{ values: { 2: 100 } }]]);
  await page.goto(`${server.origin}/#/jobs/cfg1`);
  await page.getByTestId('run-rest').click();
  await expect.poll(() => calls(page, 'planSettings')).toMatchObject([{}, [{ values: { 2: 80 }, devices: [devices[0]!.device, devices[5]!.device] }]]);
  await page.close();
});

test('what drifted can stay as it is', async () => {
  const page = await open(`settings/${group}`, site(), { keepSettings: devices });
  await page.getByTestId('settings-keep').click();
  await expect.poll(() => calls(page, 'keepSettings')).toEqual([[group, [devices[5]!.device]]]);
  await page.close();
});

test('a duration test asks first; who does not answer an emergency stands first', async () => {
  const call = { group, kind: 'emergency', started: 1, ended: 2, verified: 1, multicasts: 3, messages: 1, unicasts: 1, median: 0, slowest: 0, until: 0,
    answers: devices.slice(0, 2).map((one, n) => ({ device: one.device, state: n ? 'asking' : 'verified', on: true, level: 100, rtt: 1, senderId: '', unicast: false, problem: null })) } as unknown as RollCall;
  const page = await open(`settings/${group}/emergency`, site(), { emergencyLog: [], emergency: call, emergencyTest: job('running'), readSettings: [{ ...devices[0]!, model: 'lamp-emergency-1' }] });
  await page.getByTestId('emergency-duration').click();
  await page.getByTestId('confirm-no').click();
  expect(await calls(page, 'emergencyTest')).toEqual([]);
  await page.getByTestId('emergency-duration').click();
  await page.getByTestId('confirm-yes').click();
  await expect.poll(() => calls(page, 'emergencyTest')).toEqual([[group, 'duration', [devices[0]!.device]]]);
  await page.getByTestId('emergency-on').click();
  await page.getByTestId('emergency-yes').click();
  await expect(page.getByTestId('emergency-silent')).toContainText('did not answer');
  await expect(page.getByTestId('receipts').getByTestId('receipt')).toHaveCount(1);
  await page.close();
});

for (const [view, theme, density] of [[wide, 'light', 'normal'], [tablet, 'dark', 'normal'], [tablet, 'sun', 'gloves']] as const) {
  test(`readable and large enough: ${theme}, ${density}`, async () => {
    const trial = run('trial', { job: 'cfg1', phase: 'trial', revertAt: Date.now() + 300_000 });
    for (const route of [`settings/${group}`, `settings/${group}/scenes`, `settings/${group}/links`, `settings/${group}/network`, `settings/${group}/emergency`, 'jobs/cfg1']) {
      const page = await open(route, site(route.startsWith('jobs') ? [trial] : []), { emergencyLog: [] }, view);
      await page.evaluate(([theme, density]) => Object.assign(document.documentElement.dataset, { theme, density }), [theme, density]);
      await expect(page.locator('main h1')).toBeVisible();
      await page.waitForTimeout(300);
      const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']).analyze();
      expect(violations.map((one) => [route, one.id, one.nodes[0]!.html])).toEqual([]);
      expect(await page.evaluate(() => document.querySelector('main')!.scrollWidth - document.querySelector('main')!.clientWidth)).toBeLessThanOrEqual(0);
      await page.close();
    }
  });
}
