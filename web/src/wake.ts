// Keeps the screen on while a job runs. Nothing depends on it.

import { jobs, live } from "./parts/job";
import { state } from "./state";

let lock: WakeLockSentinel | undefined;
let asking = false;

async function ask(): Promise<void> {
  asking = true;
  try {
    lock = await navigator.wakeLock.request("screen");
    lock.addEventListener("release", () => (lock = undefined));
  } catch {
    // refused: the screen may sleep, the job goes on
  }
  asking = false;
}

export function keepAwake(): void {
  if (!("wakeLock" in navigator)) {
    return;
  }
  state.watch(() => {
    const wanted = !document.hidden && jobs().some(live);
    if (wanted && !lock && !asking) {
      void ask();
    } else if (!wanted && lock) {
      void lock.release();
    }
  });
}
