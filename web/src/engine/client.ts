// The page's side of the engine: typed calls as promises, events to listeners.
// It is window.lamplighter too.

import { methodNames, type Event, type Methods } from "../engine.gen";
import type { FromWorker, Refusal, ToWorker } from "../protocol";

/** A Problem, thrown. */
export class EngineError extends Error {
  readonly code: string;
  readonly next: string;
  readonly retry: boolean;

  constructor(refusal: Refusal) {
    super(refusal.message);
    this.name = "EngineError";
    this.code = refusal.code;
    this.next = refusal.next;
    this.retry = refusal.retry;
  }
}

/** What happens outside of the engine's own events. */
export type Fate = { lock: "held" | "lost" } | { stopped: string };

export interface Engine extends Methods {
  /** Calls listener with every event from now on; returns what ends that. */
  on(listener: (event: Event) => void): () => void;
}

interface Pending {
  resolve(result: unknown): void;
  reject(reason: Error): void;
}

/** The connection to one worker. */
export class Connection {
  readonly engine: Engine;
  #worker: Worker;
  #calls = new Map<number, Pending>();
  #listeners = new Set<(event: Event) => void>();
  #fate: (fate: Fate) => void;
  #id = 0;

  constructor(worker: Worker, early: FromWorker[], fate: (fate: Fate) => void) {
    this.#worker = worker;
    this.#fate = fate;
    const calls = methodNames.map((name) => [name, (...args: unknown[]) => this.#call(name, args)]);
    const on: Engine["on"] = (listener) => {
      this.#listeners.add(listener);
      return () => this.#listeners.delete(listener);
    };
    this.engine = { ...(Object.fromEntries(calls) as Methods), on };
    worker.onmessage = (message: MessageEvent<FromWorker>) => this.#take(message.data);
    worker.onerror = () => this.#take({ stopped: "The engine's worker failed." });
    // What came before goes first, but after the first listener is there.
    queueMicrotask(() => early.splice(0).forEach((message) => this.#take(message)));
  }

  /** Takes the engine from the tab that has it. */
  takeOver(): void {
    this.#send({ takeover: true });
  }

  /** Ends the worker; open calls fail. */
  close(reason: string): void {
    this.#worker.terminate();
    for (const call of this.#calls.values()) {
      call.reject(new EngineError({ code: "engine-stopped", message: reason, next: "", retry: false }));
    }
    this.#calls.clear();
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #call(method: string, args: unknown[]): Promise<unknown> {
    const id = ++this.#id;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#send({ id, method, args });
    });
  }

  #take(message: FromWorker): void {
    if ("event" in message) {
      this.#listeners.forEach((listener) => listener(message.event));
    } else if ("id" in message) {
      this.#settle(message);
    } else {
      this.#fate(message);
    }
  }

  #settle(message: { id: number } & ({ result: unknown } | { error: Refusal })): void {
    const call = this.#calls.get(message.id);
    this.#calls.delete(message.id);
    if ("error" in message) {
      call?.reject(new EngineError(message.error));
    } else {
      call?.resolve(message.result);
    }
  }
}
