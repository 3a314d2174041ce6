import "wasm_exec";

/** A Go program that is compiled and linked, but not started. */
export interface Program {
  /** starts it; resolves when it has ended */
  run(): Promise<void>;
}

/** Loads a Go program; it compiles while it arrives. */
export async function load(url: string): Promise<Program> {
  const go = new Go();
  const response = fetch(url, { credentials: "same-origin" }).then((answer) => {
    if (!answer.ok) {
      throw new Error(`${url}: ${answer.status}`);
    }
    return answer;
  });
  const { instance } = await WebAssembly.instantiateStreaming(response, go.importObject);
  return { run: () => go.run(instance) };
}
