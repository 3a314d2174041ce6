// Connects the page to the worker that boot started, and turns what becomes of
// it into the page's phase.

import { Connection, type Engine, type Fate } from "./client";
import { state } from "../state";

declare global {
  /** The engine's methods and events, for the console and for scripts. */
  var lamplighter: Engine;
}

const boot = globalThis.lamplighterBoot;
let connection: Connection | undefined;

/** The engine; calls before it is ready wait for it. */
export let engine: Engine;

/** The invitation that the page was opened with, once. */
export function takeBootInvitation(): string {
  const fragment = boot.invitation;
  boot.invitation = "";
  return fragment;
}

/** Starts the service worker's script; see boot.ts for the two names. */
export const trust = boot.trust;

function fate(what: Fate): void {
  if ("stopped" in what) {
    connection?.close(what.stopped);
    state.enter("stopped", what.stopped);
  } else if (what.lock === "held") {
    state.enter("held");
  } else {
    connection?.close("Another tab took the engine.");
    state.enter("lost");
  }
}

/** Takes the engine over from the other tab. */
export function takeOver(): void {
  if (state.phase === "held") {
    connection?.takeOver();
    state.enter("starting");
    return;
  }
  sessionStorage.setItem("takeover", "1"); // boot.ts reads it
  location.reload();
}

export function connect(): void {
  if (!boot.worker) {
    state.enter(isSecureContext ? "unsupported" : "insecure");
    return;
  }
  connection = new Connection(boot.worker, boot.early, fate);
  engine = connection.engine;
  globalThis.lamplighter = engine;
  engine.on((event) => state.apply(event));
}
