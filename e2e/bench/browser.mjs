// Measures the page in Chromium against a demo with 100 lamps and prints JSON:
// [{Name, Value, Unit, Aim}].
import { chromium } from '@playwright/test';
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const program = resolve(import.meta.dirname, '../../build/lamplighter');
const data = mkdtempSync(join(tmpdir(), 'lamplighter-bench-'));
const figures = [];
const figure = (Name, Value, Unit, Aim) => figures.push({ Name, Value, Unit, Aim });
const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
const open = (profile) => chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  viewport: { width: 1280, height: 800 },
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const newProfile = () => mkdtempSync(join(data, 'profile-'));

const demo = spawn(program, ['demo', '--devices', '100', '--leisure', '0s', '--data', join(data, 'site'), '--listen', '127.0.0.1:0'], {
  env: { ...process.env, LAMPLIGHTER_LOG: 'error' }, stdio: ['ignore', 'pipe', 'inherit'],
});
try {
  const link = await new Promise((done, fail) => {
    let text = '';
    demo.stdout.on('data', (chunk) => {
      text += chunk;
      if (text.includes('Ctrl-C')) done(/Open\s+(\S+)/.exec(text)[1]);
    });
    demo.once('exit', () => fail(new Error(`the demo ended: ${text}`)));
  });
  const origin = new URL(link).origin;
  await firstLoad(origin);
  await interactive(origin);
  await journey(link);
  console.log(JSON.stringify(figures));
} finally {
  demo.kill('SIGTERM');
  await new Promise((done) => demo.once('exit', done));
  rmSync(data, { recursive: true, force: true });
}

async function ready(page) {
  await page.waitForFunction(() => performance.getEntriesByName('lamplighter-ready').length > 0);
  return page.evaluate(() => performance.getEntriesByName('lamplighter-ready')[0].startTime);
}

// firstLoad counts what goes over the wire until the first view's engine is
// ready: the bytes of bodies, compressed as served (brotli).
async function firstLoad(origin) {
  const context = await open(newProfile());
  const page = context.pages()[0];
  const sizes = [];
  context.on('response', (r) => sizes.push(r.request().sizes().then((s) => s.responseBodySize).catch(() => Number(r.headers()['content-length'] ?? 0))));
  await page.goto(origin);
  await ready(page);
  const counted = await Promise.all(sizes);
  figure('first_load_bytes', counted.reduce((a, b) => a + b, 0), 'bytes', 1_600_000);
  await context.close();
}

// interactive: navigation start to engine ready and first control enabled, with
// a new profile and on a second visit, each in a browser process of its own. It
// may finish its own start first: that is not the page's time.
async function interactive(origin) {
  const cold = [], warm = [];
  const settle = (page) => page.waitForTimeout(1500);
  for (let i = 0; i < 7; i++) {
    const profile = newProfile();
    let context = await open(profile);
    let page = context.pages()[0];
    await settle(page);
    await page.goto(origin);
    cold.push(await ready(page));
    await settle(page); // the service worker fills its cache
    await context.close();
    context = await open(profile);
    page = context.pages()[0];
    await settle(page);
    await page.goto(origin);
    warm.push(await ready(page));
    await context.close();
  }
  figure('interactive_ms', median(cold), 'ms', 1000);
  figure('interactive_warm_ms', median(warm), 'ms', 500);
}

// journey claims and joins 100 lamps, then calls the roll.
async function journey(link) {
  const context = await open(newProfile());
  const page = context.pages()[0];
  await page.goto(link);
  await ready(page);
  await page.getByTestId('site-name').waitFor();
  const labels = readFileSync(join(data, 'site', 'labels.csv'), 'utf8');
  const seconds = await page.evaluate(async (labels) => {
    await lamplighter.importLabels(labels);
    if (await lamplighter.discover() !== 100) throw new Error('discovery missed lamps');
    const ids = (await lamplighter.snapshot()).devices.map((d) => d.id);
    const start = performance.now();
    const job = await lamplighter.join('hall-ceiling', ids);
    for (;;) {
      const now = (await lamplighter.snapshot()).jobs.find((j) => j.id === job.id);
      if (now.state !== 'running' && now.state !== 'waiting') {
        if (now.done !== 100) throw new Error(`joined ${now.done} of 100: ${JSON.stringify(now.items.find((i) => i.problem))}`);
        return (performance.now() - start) / 1000;
      }
      await new Promise((done) => setTimeout(done, 50));
    }
  }, labels);
  figure('join_100', seconds, 's', 10);
  const calls = [];
  for (let i = 0; i < 5; i++) {
    const call = await page.evaluate(() => lamplighter.rollCall('hall-ceiling'));
    if (call.verified !== 100) throw new Error(`${call.verified} of 100 verified`);
    calls.push(call.slowest / 1000);
  }
  figure('rollcall_100', median(calls), 's', 1);
  figure('rtt_chromium', await page.evaluate(async () => {
    const times = [];
    for (let i = 0; i < 300; i++) times.push(await wsRoundTrip());
    return times.sort((a, b) => a - b)[150];

    // A plain GET of a lamp's /ll/id through the bridge, framed by hand.
    async function wsRoundTrip() {
      const ws = globalThis.benchWS ??= await new Promise((done, fail) => {
        const ws = new WebSocket(`${location.origin.replace('http', 'ws')}/.well-known/coap`, 'coap');
        ws.binaryType = 'arraybuffer';
        ws.onopen = () => { ws.send(new Uint8Array([0x00, 0xe1])); done(ws); };
        ws.onerror = fail;
      });
      const lamp = (await lamplighterAddress()).split(':');
      const text = (s) => [...new TextEncoder().encode(s)];
      const host = text(lamp[0]), port = Number(lamp[1]);
      const token = Math.floor(Math.random() * 256);
      const frame = [0x01, 0x01, token,
        0x30 | host.length, ...host, // Uri-Host (3); a dotted quad is at most 15 long, see below
        0x42, port >> 8, port & 255, // Uri-Port (7)
        0x42, ...text('ll'), 0x02, ...text('id'), // Uri-Path (11)
        0xd4, 39 - 11 - 13, ...text('coap')]; // Proxy-Scheme (39)
      if (host.length > 12) frame.splice(3, 1, 0x3d, host.length - 13);
      return new Promise((done) => {
        const start = performance.now();
        ws.onmessage = (e) => {
          const b = new Uint8Array(e.data);
          if (b[1] === 0x45 && b[2] === token) done(performance.now() - start);
        };
        ws.send(new Uint8Array(frame));
      });
    }
    async function lamplighterAddress() {
      return globalThis.benchLamp ??= (await lamplighter.snapshot()).devices[0].address;
    }
  }), 'ms', 0);
  await context.close();
}
