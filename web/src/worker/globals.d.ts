// What the build puts in, see build/bundle.go, and the glue of the Go compiler.

declare const ENGINE_URL: string;
declare const BACKUP_URL: string;
declare const BACKUP_WORKER_URL: string;
declare const RELEASE: string;
declare const FILES: string;
declare const VERSION: string;

declare module "wasm_exec";

/** One Go program; wasm_exec.js defines it. */
declare class Go {
  readonly importObject: WebAssembly.Imports;
  /** resolves when the program has ended */
  run(instance: WebAssembly.Instance): Promise<void>;
}
