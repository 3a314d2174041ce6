// Runs a Go test binary (bench.wasm in the given folder) in Chromium and prints
// what it prints: node wasm.mjs DIR PATTERN TIME
import { chromium } from '@playwright/test';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';

const [dir, pattern, time] = process.argv.slice(2);
const goroot = execFileSync('go', ['env', 'GOROOT'], { encoding: 'utf8' }).trim();
const files = {
  '/': ['text/html', '<!doctype html><title>bench</title>'],
  '/wasm_exec.js': ['text/javascript', readFileSync(join(goroot, 'lib/wasm/wasm_exec.js'))],
  '/bench.wasm': ['application/wasm', readFileSync(join(dir, 'bench.wasm'))],
};
const server = createServer((request, answer) => {
  const file = files[request.url] ?? ['text/plain', ''];
  // Isolated pages have the finer clock.
  answer.writeHead(200, {
    'Content-Type': file[0], 'Cross-Origin-Opener-Policy': 'same-origin', 'Cross-Origin-Embedder-Policy': 'require-corp',
    'Cross-Origin-Resource-Policy': 'same-origin',
  }).end(file[1]);
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  const page = await browser.newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  // In a worker, as the engine runs.
  const text = await page.evaluate(async ([pattern, time]) => {
    const source = `
      let text = '';
      self.fs = undefined;
      importScripts(location.origin + '/wasm_exec.js');
      const decoder = new TextDecoder();
      fs.writeSync = (fd, buf) => { text += decoder.decode(buf); return buf.length; };
      fs.write = (fd, buf, offset, length, position, done) => done(null, fs.writeSync(fd, buf.subarray(offset, offset + length)));
      (async () => {
        const go = new Go();
        go.argv = ['bench', '-test.run', '^$', '-test.bench', ${JSON.stringify(pattern)}, '-test.benchtime', ${JSON.stringify(time)}];
        let code = 0;
        go.exit = (c) => { code = c; };
        const { instance } = await WebAssembly.instantiateStreaming(fetch(location.origin + '/bench.wasm'), go.importObject);
        await go.run(instance);
        postMessage({ code, text });
      })().catch((err) => postMessage({ code: 1, text: text + err }));
    `.replaceAll('location.origin', JSON.stringify(location.origin));
    const worker = new Worker(URL.createObjectURL(new Blob([source], { type: 'text/javascript' })));
    return new Promise((resolve) => { worker.onmessage = (e) => resolve(e.data); worker.onerror = (e) => resolve({ code: 1, text: e.message }); });
  }, [pattern, time]);
  process.stdout.write(text.text);
  process.exitCode = text.code;
} finally {
  await browser.close();
  server.close();
}
