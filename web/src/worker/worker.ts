// The engine's worker: it loads the Go program, holds the lock, and passes
// calls, answers and events between page and engine. No protocol state here.

import type { Event } from "../engine.gen";
import type { Call, FromWorker, Refusal, StartOptions, ToWorker } from "../protocol";
import { serveBackup } from "./age";
import { acquire, takeOver } from "./lock";
import { load } from "./program";

/** What the Go program puts into the global object. */
interface Binding {
  start(options: string, onEvent: (json: string) => void): Promise<string>;
  call(method: string, args: string): Promise<string>;
}

declare global {
  var __lamplighter: Binding;
  var __lamplighterReady: () => void;
}

const scope = self as unknown as DedicatedWorkerGlobalScope;
const say = (message: FromWorker) => scope.postMessage(message);
const emit = (event: Event) => say({ event });

const program = load(ENGINE_URL);
program.catch(() => {}); // launch reports it
let started: Promise<void> | undefined;

async function start(options: StartOptions): Promise<void> {
  await acquire({ held: () => say({ lock: "held" }), lost: () => say({ lock: "lost" }) }, options.takeover);
  await launch();
  const snapshot = await globalThis.__lamplighter.start(
    JSON.stringify({ base: scope.location.origin, record: options.record, version: RELEASE }),
    (json) => emit(JSON.parse(json) as Event),
  );
  emit({ type: "snapshot", snapshot: JSON.parse(snapshot) });
}

/** Runs the Go program until it says that its functions are there. */
async function launch(): Promise<void> {
  const go = await program.catch((reason: unknown) => {
    throw new Error("The engine could not be loaded (" + text(reason) + ").");
  });
  await new Promise<void>((resolve, reject) => {
    globalThis.__lamplighterReady = resolve;
    const ended = () => reject(new Error("The engine ended at its start."));
    go.run().then(() => {
      ended();
      say({ stopped: "The engine has stopped. What it finished is kept." });
    }, ended);
  });
}

async function answer(call: Call): Promise<void> {
  try {
    await started;
    const result = await globalThis.__lamplighter.call(call.method, JSON.stringify(call.args));
    say({ id: call.id, result: JSON.parse(result) });
  } catch (reason) {
    say({ id: call.id, error: refusal(reason) });
  }
}

function text(reason: unknown): string {
  return reason instanceof Error ? reason.message : String(reason);
}

function refusal(reason: unknown): Refusal {
  const r = (reason ?? {}) as Partial<Refusal>;
  return { code: r.code ?? "engine", message: text(reason), next: r.next ?? "", retry: r.retry ?? false };
}

serveBackup();
scope.onmessage = (message: MessageEvent<ToWorker>) => {
  const request = message.data;
  if ("start" in request) {
    started = start(request.start);
    started.catch((reason: unknown) => say({ stopped: `${text(reason)} ${refusal(reason).next}` }));
  } else if ("takeover" in request) {
    takeOver();
  } else {
    void answer(request);
  }
};
