// Backups are age files. Their passphrase costs much memory and time on
// purpose, so each runs in a worker of its own that is ended afterwards: the
// engine goes on answering, and the memory is free again.

/** What the engine calls. */
interface BackupService {
  encrypt(plaintext: Uint8Array, passphrase: string): Promise<string>;
  decrypt(armored: string, passphrase: string): Promise<Uint8Array>;
}

export interface BackupRequest {
  method: "encrypt" | "decrypt";
  args: [Uint8Array | string, string];
}

export type BackupReply = { result: string | Uint8Array } | { error: string; code: string };

declare global {
  var __lamplighterBackup: BackupService;
}

function script(): string {
  const vouch = (url: string) => {
    if (url !== BACKUP_WORKER_URL) {
      throw new TypeError("not a script of this page");
    }
    return url;
  };
  const policy = (self as { trustedTypes?: { createPolicy(name: string, rules: object): { createScriptURL(url: string): string } } })
    .trustedTypes?.createPolicy("lamplighter", { createScriptURL: vouch });
  return policy ? policy.createScriptURL(BACKUP_WORKER_URL) : BACKUP_WORKER_URL;
}

/** Puts the service where the engine looks for it. */
export function serveBackup(): void {
  const url = script();
  const run = <T>(request: BackupRequest): Promise<T> =>
    new Promise<T>((resolve, reject) => {
      const worker = new Worker(url, { name: "lamplighter-backup" });
      const end = (then: () => void) => {
        worker.terminate();
        then();
      };
      worker.onerror = () => end(() => reject(new Error("The backup's program could not be loaded. Check the link to the bridge and try again.")));
      worker.onmessage = (message: MessageEvent<BackupReply>) => {
        const reply = message.data;
        end(() => ("result" in reply ? resolve(reply.result as T) : reject(Object.assign(new Error(reply.error), { code: reply.code }))));
      };
      worker.postMessage(request);
    });
  globalThis.__lamplighterBackup = {
    encrypt: (plaintext, passphrase) => run<string>({ method: "encrypt", args: [plaintext, passphrase] }),
    decrypt: (armored, passphrase) => run<Uint8Array>({ method: "decrypt", args: [armored, passphrase] }),
  };
}
