// Fixtures of firmware: a site with a group of lamps, an image, a plan, a rollout.
import type { Device, FirmwareFit, FirmwareImage, FirmwareOptions, FirmwarePlan, FirmwareWave, Group, Problem, Rollout, RolloutDevice, RolloutState, Snapshot } from '../web/src/engine.gen.ts';

export const group = 'hall-ceiling';
const began = Date.parse('2026-11-26T14:06:00');
const places = ['Hall', 'Stage', 'Gallery', 'Foyer'];

export const id = (n: number): string => (0x000b57fffe000000n + BigInt(n)).toString(16).padStart(16, '0');

function device(n: number): Device {
  return {
    id: id(n), name: `${places[n % 4]} ${1 + (n >> 2)}`, place: places[n % 4]!, model: 'lamp-1', address: `192.168.4.${n + 10}:5683`, state: 'joined', step: '', found: true, claimed: true,
    labelKnown: true, groups: [{ group, senderId: (16 + n).toString(16), ended: false, why: '', expires: 0, mute: false }], problem: null, lastSeen: began, listPending: false,
  };
}

export const image: FirmwareImage = {
  digest: '9f2b7c41d05e8a63f1b4c7d2e9a0385c6d1f7e2b4a9c8d30e5f6172839a4b5c6', name: 'Lamp firmware', version: '2.4.0', sequence: 24, size: 256 << 10,
  vendor: 'fa6b4a53d5ad5fdfbe9de663e4d41ffe', class: '1492af1425695e48bf429b2d51f2ab45', signer: '4f1c9a2077de10b3', signed: true, algorithm: 'ES256',
  description: 'Dims without flicker below 5 %. Keeps its level after a power cut.', created: began, problem: null,
};

export const options: FirmwareOptions = { profile: '802.15.4', canary: 3, percent: 10, maxUnavailable: 2, confirmWithin: 600, soak: 30, threshold: 0, hold: false, at: 0, devices: [], takeOver: false };

const reasons: Problem[] = [
  { id: 'fw-silent', text: 'It did not answer.', next: 'Check its power, then ask again.', retry: true },
  { id: 'fw-wrong-class', text: 'The image is for another class of device.', next: 'Use the file for this hardware.', retry: false },
  { id: 'fw-running', text: 'It runs this image already.', next: '', retry: false },
  { id: 'fw-busy', text: 'Somebody else’s update was feeding it 12 s ago.', next: 'Wait for it to end, or take over.', retry: true },
];

export function snapshot(lamps: number, rollouts: Rollout[] = []): Snapshot {
  const devices = Array.from({ length: lamps }, (_, n) => device(n));
  const hall: Group = { name: group, title: 'Hall ceiling', joined: true, epoch: 7, keysFrom: began, members: devices.map((one) => one.id), light: null, rollCall: null, paused: false, ended: '' as Group['ended'], told: true, manage: [], rekeying: null };
  return {
    site: { name: 'Riverside School', credential: '0123456789abcdef', backedUp: true, installer: 'Ada', rights: { create: false, people: false }, commissioners: [] },
    link: { up: true, rtt: 3, reason: '', revoked: false }, devices, groups: [hall], log: [], version: 'test', rollouts, settings: [],
    jobs: rollouts.map((one) => ({
      id: one.job, kind: 'firmware', group, state: one.ended ? 'done' : 'running', started: one.started, ended: one.ended, total: one.devices.length, failed: 0,
      done: one.devices.filter((d) => d.state === 'confirmed').length, items: [],
    })),
  };
}

function waves(ids: string[]): FirmwareWave[] {
  const tenth = Math.max(1, Math.round(ids.length / 10));
  const canary = Math.min(3, ids.length);
  const wave = (name: string, devices: string[]): FirmwareWave => ({ name, devices, state: 'waiting', done: 0, failed: 0 });
  return [wave('Canary', ids.slice(0, canary)), wave('First 10 %', ids.slice(canary, canary + tenth)), wave('The rest', ids.slice(canary + tenth))].filter((one) => one.devices.length);
}

/** A plan in which the last few are left out, each for another reason. */
export function plan(lamps: number, left = 3): FirmwarePlan {
  const devices = Array.from({ length: lamps }, (_, n): FirmwareFit => ({ device: id(n), fits: n < lamps - left, version: '2.3.1', sequence: 23, problem: n < lamps - left ? null : reasons[(lamps - 1 - n) % reasons.length]! }));
  const ids = devices.filter((one) => one.fits).map((one) => one.device);
  return { group, image, options, devices, fits: ids.length, left, blocks: 512, blockSize: 512, bytes: 312 << 10, seconds: 58, unicastSeconds: 82 * 60, waves: waves(ids), problem: null };
}

/** A rollout, as far as share of the way: 0 to 1 sending, 1 to 2 switching. */
export function rollout(lamps: number, share: number, change: Partial<Rollout> = {}): Rollout {
  const ids = Array.from({ length: lamps }, (_, n) => id(n));
  const all = waves(ids);
  const sending = share < 1;
  const run = Math.round((share - 1) * lamps);
  const where = (n: number): RolloutState => sending ? (share * 100 > 60 + (n * 37) % 60 ? 'verified' : share ? 'receiving' : 'waiting') : n < run ? 'confirmed' : n < run + 2 ? 'testing' : n < run + 3 ? 'switching' : 'verified';
  const devices = ids.map((device, n): RolloutDevice => {
    const state = where(n);
    const progress = state === 'receiving' ? Math.min(0.99, share + ((n * 13) % 20) / 100 - 0.1) : state === 'waiting' ? 0 : 1;
    return { device, state, progress, missing: Math.round((1 - progress) * 512), alone: 0, loss: 0.02 + ((n * 7) % 8) / 100, version: state === 'confirmed' ? '2.4.0' : '2.3.1', wave: all.findIndex((wave) => wave.devices.includes(device)), problem: null };
  });
  if (!sending) {
    for (const [index, wave] of all.entries()) {
      wave.done = devices.filter((one) => one.wave === index && one.state === 'confirmed').length;
      const busy = devices.some((one) => one.wave === index && ['testing', 'switching'].includes(one.state));
      wave.state = wave.done === wave.devices.length ? 'done' : busy || wave.done ? 'checking' : 'waiting';
    }
  }
  const sent = Math.round(512 * Math.min(1, share));
  const samples = Array.from({ length: Math.max(0, Math.round(40 * Math.min(1, share))) }, (_, i) => ({ at: began + i * 1500, loss: 0.048 + 0.02 * Math.sin(i / 3), worst: 0.09 + 0.04 * Math.sin(i / 5), rate: 48_000 + 6000 * Math.sin(i / 2) }));
  return {
    job: 'fw1', group, image, options, phase: sending ? 'sending' : run >= lamps ? 'done' : 'switching', paused: false, waits: false, started: began, ended: run >= lamps ? began + 190_000 : 0,
    blocks: 512, sent, parity: Math.round(sent * 0.12), sweeps: sending ? Math.floor(share * 2) : 2, unicast: sending ? 0 : 6, bytes: Math.round(sent * 600), blockSize: 512,
    generations: Array.from({ length: 8 }, (_, i) => ({ k: 64, sent: Math.round(72 * Math.min(1, share)), worst: sending ? (i % 3) + 1 : 0, complete: sending ? Math.round(lamps * Math.max(0, share - 0.1 - i / 40)) : lamps })),
    devices, waves: all, samples, predictedSeconds: 58, unicastSeconds: 82 * 60, left: sending ? 58 * (1 - share) : 0, problem: null, problemDevice: '', ...change,
  };
}

/** Somebody stopped it while it was sent. */
export function aborted(lamps: number): Rollout {
  const problem: Problem = { id: 'fw-aborted', text: 'The update was aborted.', next: '', retry: false };
  const one = rollout(lamps, 0.4, { phase: 'stopped', ended: began + 30_000, problem });
  one.devices.forEach((device) => Object.assign(device, { state: 'failed', problem }));
  return one;
}

/** The canary does not start the image: everything stops, it went back. */
export function stopped(lamps: number): Rollout {
  const problem: Problem = { id: 'fw-boot-loop', text: 'The new image did not start; it runs the one before again.', next: 'Ask the vendor for another image before you send this one again.', retry: false };
  const one = rollout(lamps, 1, { phase: 'stopped', ended: began + 120_000, problem, problemDevice: id(1) });
  one.devices[0]!.state = 'confirmed';
  one.devices.slice(2).forEach((device) => { device.state = 'verified'; });
  Object.assign(one.devices[1]!, { state: 'reverted', problem });
  Object.assign(one.devices.at(-1)!, { state: 'silent', progress: 0.71, missing: 148, problem: reasons[0] });
  Object.assign(one.waves[0]!, { state: 'failed', done: 1, failed: 1 });
  return one;
}
