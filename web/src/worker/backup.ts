// The worker of one backup: it runs the age program, answers one request, and
// is ended by who started it.

import type { BackupReply, BackupRequest } from "./age";
import { load } from "./program";

declare global {
  var __lamplighterAge: Record<BackupRequest["method"], (data: Uint8Array | string, passphrase: string) => Promise<string | Uint8Array>>;
}

const scope = self as unknown as DedicatedWorkerGlobalScope;

/** The program puts its functions there while it starts. */
async function ready(): Promise<void> {
  while (!globalThis.__lamplighterAge) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

async function run(request: BackupRequest): Promise<BackupReply> {
  try {
    const program = await load(BACKUP_URL);
    const ended = program.run().then(() => Promise.reject(new Error("The backup's program ended at its start.")));
    await Promise.race([ready(), ended]);
    return { result: await globalThis.__lamplighterAge[request.method](...request.args) };
  } catch (reason) {
    const { message, code } = reason as { message?: string; code?: string };
    return { error: message ?? String(reason), code: code ?? "" };
  }
}

scope.onmessage = async (message: MessageEvent<BackupRequest>) => scope.postMessage(await run(message.data));
