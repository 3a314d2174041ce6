// One live engine per site in a browser: two would spend the same sequence
// numbers. The Web Lock holds as long as this worker lives.

const name = "lamplighter-engine";
const channel = new BroadcastChannel(name);

/** How long the other tab may take to step down before its lock is stolen. */
const patience = 1500;

export interface Holder {
  /** another tab has the engine */
  held(): void;
  /** another tab took it; nothing may be sent any more */
  lost(): void;
}

/** Gives the lock up when another tab asks for it. */
function stepDown(holder: Holder): void {
  channel.onmessage = () => {
    holder.lost();
    self.close();
  };
}

function request(options: LockOptions, holder: Holder): Promise<boolean> {
  return new Promise((resolve, reject) => {
    let mine = false;
    navigator.locks
      .request(name, options, (lock) => {
        mine = lock !== null;
        if (mine) {
          stepDown(holder);
        }
        resolve(mine);
        return mine ? new Promise(() => {}) : undefined; // kept for life
      })
      .catch((reason: unknown) => {
        if (mine) {
          holder.lost(); // stolen
          self.close();
        }
        reject(reason);
      });
  });
}

let waiting: AbortController | undefined;

/**
 * Resolves when this worker has the lock. If another tab has it, holder.held is
 * called, and the wait goes on until that tab closes or takeOver is called.
 */
export async function acquire(holder: Holder, takeover: boolean): Promise<void> {
  if (await request({ ifAvailable: true }, holder)) {
    return;
  }
  waiting = new AbortController();
  if (takeover) {
    takeOver();
  } else {
    holder.held();
  }
  try {
    await request({ signal: waiting.signal }, holder);
  } catch {
    await request({ steal: true }, holder);
  }
}

/** Asks the other tab to step down, and takes the lock if it does not. */
export function takeOver(): void {
  channel.postMessage("step down");
  setTimeout(() => waiting?.abort(), patience);
}
