// Starts a demo site of its own for a test, and talks to its inspection
// endpoint: what the lamps really do, whatever the page says.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const program = resolve(import.meta.dirname, '../build/lamplighter');

export interface Lamp {
  id: string;
  label: string;
  name?: string;
  address: string;
  powered: boolean;
  claimed: boolean;
  blinking: boolean;
  light: { on: boolean; level: number };
  firmware?: Firmware;
  model: string;
  settings?: LampSettings;
  groups: { name: string; senderID: string; num: number; inSync: boolean; paused: boolean }[] | null;
}

/** What a device is set to, whatever it says of itself. */
export interface LampSettings {
  digest: string;
  state: number; // 0 idle, 1 staged, 2 scheduled, 3 trial
  result: number; // docs/settings.md
  values: Record<string, unknown>; // by name
  switchedAt: number; // milliseconds since 1970
  scene?: number;
  recalledAt?: number;
}

/** What a lamp runs, whatever it says of itself. */
export interface Firmware {
  state: 'idle' | 'downloading' | 'downloaded' | 'updating' | 'testing';
  version: string;
  sequence: number;
  minimum: number;
  verified: boolean; // the other slot holds an image that was verified
  result: number; // docs/firmware.md
  boots: number;
  blink: string;
}

export interface Member { node: string; subject: string; senderId: string; roles: number }

export interface Traffic {
  frames: number;
  protected: number;
  unprotected: Record<string, number>;
  leaks: string[];
  secrets: number;
}

export class Site {
  private constructor(
    private readonly process: ChildProcess,
    readonly data: string,
    readonly link: string,
    private readonly inspect: string,
  ) {}

  static async start(args: string[] = [], data = mkdtempSync(join(tmpdir(), 'lamplighter-e2e-'))): Promise<Site> {
    const child = spawn(program, ['demo', '--data', data, '--listen', '127.0.0.1:0', '--inspect', '127.0.0.1:0', ...args], {
      env: { ...process.env, LAMPLIGHTER_NONCE_LOG: join(data, 'nonces.log'), LAMPLIGHTER_LOG: 'warn' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const text = await started(child);
    const link = /Open\s+(\S+)/.exec(text)?.[1];
    const inspect = /Inspection on (\S+)/.exec(text)?.[1];
    if (!link || !inspect) throw new Error(`the demo did not start: ${text}`);
    return new Site(child, data, link, inspect);
  }

  get origin(): string { return new URL(this.link).origin; }
  get labels(): string { return readFileSync(join(this.data, 'labels.csv'), 'utf8'); }
  get nonces(): string[] { return readFileSync(join(this.data, 'nonces.log'), 'utf8').trim().split('\n'); }

  lamps(): Promise<Lamp[]> { return this.get('/devices'); }
  members(group: string): Promise<Member[]> { return this.get(`/groups/${group}`); }
  traffic(): Promise<Traffic> { return this.get('/traffic'); }
  power(lamp: string, on: boolean): Promise<unknown> { return this.post(`/devices/${lamp}/power?on=${on}`); }
  /** Breaks a lamp, or repairs it with kind=none. */
  fault(lamp: string, query: string): Promise<unknown> { return this.post(`/devices/${lamp}/fault?${query}`); }
  /** Changes a setting behind the site's back. */
  drift(lamp: string, name: string, value: unknown): Promise<unknown> {
    return this.post(`/devices/${lamp}/settings?name=${name}&value=${encodeURIComponent(JSON.stringify(value))}`);
  }
  /** The path of a firmware file that the demo wrote. */
  firmware(name: string): string { return join(this.data, 'firmware', name + '.suit'); }
  switch(part: 'gm' | 'as' | 'bridge', on: boolean): Promise<unknown> { return this.post(`/${part}?on=${on}`); }

  async stop(): Promise<void> {
    if (this.process.exitCode !== null) return;
    const gone = new Promise((done) => this.process.once('exit', done));
    this.process.kill('SIGTERM');
    await gone;
    rmSync(this.data, { recursive: true, force: true });
  }

  private async get<T>(path: string): Promise<T> {
    return this.read(await fetch(this.inspect + path));
  }
  private async post<T>(path: string): Promise<T> {
    return this.read(await fetch(this.inspect + path, { method: 'POST' }));
  }
  private async read<T>(answer: Response): Promise<T> {
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json() as Promise<T>;
  }
}

// started collects the demo's output until it says how to end it.
function started(child: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes('Ctrl-C')) resolve(text);
    });
    child.once('exit', (code) => reject(new Error(`the demo ended with ${code}: ${text}`)));
  });
}

// reused returns (key, nonce) hashes that were seen with two ciphertexts.
// Repeating the same bytes is a retransmission and allowed.
export function reused(lines: string[]): string[] {
  const seen = new Map<string, string>();
  const bad = new Set<string>();
  for (const line of lines) {
    const [pair, text] = line.split(' ');
    if (!pair || !text) continue;
    const before = seen.get(pair);
    if (before !== undefined && before !== text) bad.add(pair);
    seen.set(pair, text);
  }
  return [...bad];
}
