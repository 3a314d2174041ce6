// An engine made of fixtures: the page's screens with states that a real site
// reaches only by accident, or takes minutes to reach.
import type { BrowserContext, Page } from '@playwright/test';
import { createServer, type Server } from 'node:http';
import { existsSync, readFileSync } from 'node:fs';
import { extname, join, resolve } from 'node:path';
import type { AddressInfo } from 'node:net';
import { engineReady, wide, type View } from './browser.ts';
import type { Event, Methods, Snapshot } from '../web/src/engine.gen.ts';

const dist = resolve(import.meta.dirname, '../web/dist');
const policy = /const Policy = ([^]*?)\n\n/.exec(readFileSync(resolve(import.meta.dirname, '../web/embed.go'), 'utf8'))![1]!
  .split('+').map((part) => JSON.parse(part.trim()) as string).join('');
const types: Record<string, string> = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

/** Serves the built page as a bridge would, without anything behind it. */
export async function servePage(): Promise<{ origin: string; close(): void }> {
  const server: Server = createServer((request, answer) => {
    const path = new URL(request.url ?? '/', 'http://page').pathname;
    const file = join(dist, path === '/' ? 'index.html' : path);
    if (!file.startsWith(dist) || !existsSync(file) || path === '/sw.js') {
      answer.writeHead(404).end();
      return;
    }
    answer.writeHead(200, { 'Content-Type': types[extname(file)] ?? 'application/octet-stream', 'Content-Security-Policy': policy });
    answer.end(readFileSync(file));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close: () => server.close() };
}

/** What a call returns, or why it is refused; never: it does not return while the test looks. */
export type Replies = { [M in keyof Methods]?: Awaited<ReturnType<Methods[M]>> | { refuse: { code: string; message: string; next: string } } | { never: true } };

declare global {
  // What a test reaches of the stub in the page.

  var stub: { calls: { method: string; args: unknown[] }[]; replies: Replies; emit(event: Event): void };
}

/** Puts the stub in the place of the engine's worker, before the page starts. */
export async function stubEngine(page: Page, snapshot: Snapshot, replies: Replies = {}): Promise<void> {
  await page.addInitScript(({ snapshot, replies }) => {
    type Reply = { refuse?: unknown; never?: boolean } | undefined;
    class Stub extends EventTarget {
      onmessage: ((message: { data: unknown }) => void) | null = null;
      constructor() {
        super();
        globalThis.stub = { calls: [], replies, emit: (event) => this.say({ event }) };
      }
      postMessage(message: { start?: unknown; id?: number; method?: string; args?: unknown[] }): void {
        if (message.start) this.say({ event: { type: 'snapshot', snapshot } });
        if (message.id === undefined) return;
        globalThis.stub.calls.push({ method: message.method!, args: message.args! });
        const reply = (globalThis.stub.replies as Record<string, unknown>)[message.method!];
        if ((reply as Reply)?.never) return;
        const refuse = (reply as Reply)?.refuse ?? (reply === undefined ? { code: 'stub', message: `The stub knows no ${message.method}.`, next: '' } : undefined);
        setTimeout(() => this.say(refuse ? { id: message.id, error: refuse } : { id: message.id, result: reply }), 20);
      }
      terminate(): void {}
      private say(data: unknown): void {
        queueMicrotask(() => this.onmessage?.({ data }));
      }
    }
    (globalThis as { Worker: unknown }).Worker = Stub;
  }, { snapshot, replies });
}

/** Opens the page at an address over the stub. */
export async function openStub(context: BrowserContext, address: string, snapshot: Snapshot, replies: Replies = {}, view: View = wide): Promise<Page> {
  const page = await context.newPage();
  await page.setViewportSize(view);
  await stubEngine(page, snapshot, replies);
  await page.goto(address);
  await engineReady(page);
  return page;
}

/** What the page called a method with. */
export const calls = (page: Page, method: string): Promise<unknown[][]> =>
  page.evaluate((method) => stub.calls.filter((call) => call.method === method).map((call) => call.args), method);
