// The tests of internal/store/indexeddb, the conformance suite of every store
// among them, on the IndexedDB of a browser. `make wasm-test` runs them in Node on
// a fake.
import { expect, test } from '@playwright/test';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { openBrowser } from '../browser.ts';

const root = resolve(import.meta.dirname, '../..');
const build = mkdtempSync(join(tmpdir(), 'lamplighter-store-'));

function go(args: string[], env: Record<string, string> = {}): string {
  return execFileSync('go', args, { cwd: root, env: { ...process.env, ...env }, encoding: 'utf8' }).trim();
}

// serve answers with a page that has Go's runtime, and the tests.
async function serve(): Promise<Server> {
  const program = join(build, 'indexeddb.test.wasm');
  go(['test', '-c', '-o', program, './internal/store/indexeddb'], { GOOS: 'js', GOARCH: 'wasm' });
  const files: Record<string, [string, Buffer]> = {
    '/': ['text/html', Buffer.from('<!doctype html><title>Store</title><script src="/wasm_exec.js"></script>')],
    '/wasm_exec.js': ['text/javascript', readFileSync(join(go(['env', 'GOROOT']), 'lib/wasm/wasm_exec.js'))],
    '/test.wasm': ['application/wasm', readFileSync(program)],
  };
  const server = createServer((request, answer) => {
    const file = files[request.url ?? ''];
    answer.writeHead(file ? 200 : 404, { 'Content-Type': file?.[0] ?? 'text/plain' }).end(file?.[1]);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return server;
}

interface Program { argv: string[]; exit: (code: number) => void; importObject: WebAssembly.Imports; run(i: WebAssembly.Instance): Promise<void> }

test('IndexedDB does what every store must, and keeps it', async () => {
  const server = await serve();
  const context = await openBrowser(join(build, 'profile'));
  try {
    const page = await context.newPage();
    const lines: string[] = [];
    page.on('console', (message) => lines.push(...message.text().split('\n')));
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    const code = await page.evaluate(async () => {
      const program = new (globalThis as unknown as { Go: new () => Program }).Go();
      program.argv = ['indexeddb.test', '-test.v'];
      let code = -1;
      program.exit = (c) => { code = c; };
      const { instance } = await WebAssembly.instantiateStreaming(fetch('/test.wasm'), program.importObject);
      await program.run(instance);
      return code;
    });
    const passed = lines.filter((line) => line.startsWith('    --- PASS: TestConformance/')).map((line) => /\/(\w+)/.exec(line)![1]!);
    expect(code, lines.join('\n')).toBe(0);
    const suite = [...readFileSync(join(root, 'internal/store/storetest/storetest.go'), 'utf8').matchAll(/\{"(\w+)", test\w+\}/g)].map((m) => m[1]!);
    expect(passed).toEqual(suite);
    expect(suite.length).toBeGreaterThan(10);
    // Only what looks into the fake is left out here.
    expect(lines.filter((line) => line.startsWith('--- SKIP: ')).map((line) => /: (\w+)/.exec(line)![1]).sort()).toEqual(['TestAtRest', 'TestFailedWriteLeavesNothing']);
  } finally {
    await context.close();
    server.close();
    rmSync(build, { recursive: true, force: true });
  }
});
