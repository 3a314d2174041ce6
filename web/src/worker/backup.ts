// The worker of one backup: it runs the age program, answers one request, and
// is ended by who started it.

import type { BackupReply, BackupRequest } from "./age";
import { load } from "./program";

declare global {
  var __lamplighterAgeReady: () => void;
  var __lamplighterAge: Record<BackupRequest["method"], (data: Uint8Array | string, passphrase: string) => Promise<string | Uint8Array>>;
}

const scope = self as unknown as DedicatedWorkerGlobalScope;

async function run(request: BackupRequest): Promise<BackupReply> {
  try {
    const program = await load(BACKUP_URL);
    await new Promise<void>((resolve, reject) => {
      globalThis.__lamplighterAgeReady = resolve;
      void program.run().then(() => reject(new Error("The backup's program ended at its start.")));
    });
    return { result: await globalThis.__lamplighterAge[request.method](...request.args) };
  } catch (reason) {
    const { message, code } = reason as { message?: string; code?: string };
    return { error: message ?? String(reason), code: code ?? "" };
  }
}

scope.onmessage = async (message: MessageEvent<BackupRequest>) => scope.postMessage(await run(message.data));
