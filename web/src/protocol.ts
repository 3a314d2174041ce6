// The messages between page and worker. What they carry is the schema of
// engine.gen.ts.

import type { Event } from "./engine.gen";

/** How the engine is to start. */
export interface StartOptions {
  /** keep a log of hashed nonces, for tests (?record in the page's address) */
  record: boolean;
  /** another tab has the engine: take it without asking again */
  takeover: boolean;
}

/** A call of a method of the engine. */
export interface Call {
  id: number;
  method: string;
  args: unknown[];
}

/** Why a call was refused: a Problem, as an Error carries it. */
export interface Refusal {
  code: string;
  message: string;
  next: string;
  retry: boolean;
}

export type ToWorker = { start: StartOptions } | { takeover: true } | Call;

export type FromWorker =
  | { id: number; result: unknown }
  | { id: number; error: Refusal }
  | { event: Event }
  | { lock: "held" | "lost" }
  | { stopped: string };
