// The first script of the page, small, so that nothing waits for it. It takes
// the invitation out of the address before anything else can read it, puts the
// theme on before the first paint, and starts the engine's worker while the
// rest of the page still loads.

import type { FromWorker, ToWorker } from "./protocol";
import { takeInvitation } from "./engine/invitation";
import { wear } from "./prefs";

/** What boot leaves for main. */
export interface Boot {
  /** what stood after # in an invitation link */
  invitation: string;
  /** null: the page cannot start here */
  worker: Worker | null;
  /** what the worker said before main listened */
  early: FromWorker[];
  /** vouches for the few scripts that the page starts by URL */
  trust(url: string): string;
}

declare global {
  var lamplighterBoot: Boot;
}

const scripts = [WORKER_URL, "/sw.js"];

function vouch(url: string): string {
  if (!scripts.includes(url)) {
    throw new TypeError("not a script of this page: " + url);
  }
  return url;
}

function trustedScripts(): (url: string) => string {
  const policy = self.trustedTypes?.createPolicy("lamplighter", { createScriptURL: vouch });
  // The library's types still say string where a TrustedScriptURL may stand.
  return policy ? (url) => policy.createScriptURL(url) as unknown as string : vouch;
}

function able(): boolean {
  return isSecureContext && !!navigator.locks && !!self.indexedDB && "WebAssembly" in self && "popover" in HTMLElement.prototype;
}

function start(trust: (url: string) => string, early: FromWorker[]): Worker {
  const worker = new Worker(trust(WORKER_URL), { name: "lamplighter" });
  worker.onmessage = (message) => early.push(message.data as FromWorker);
  worker.onerror = () => early.push({ stopped: "The engine's worker could not be loaded." });
  const takeover = sessionStorage.getItem("takeover") === "1";
  sessionStorage.removeItem("takeover");
  const record = new URLSearchParams(location.search).has("record");
  worker.postMessage({ start: { record, takeover } } satisfies ToWorker);
  return worker;
}

const invitation = takeInvitation();
wear();
const trust = trustedScripts();
const early: FromWorker[] = [];
globalThis.lamplighterBoot = { invitation, worker: able() ? start(trust, early) : null, early, trust };
