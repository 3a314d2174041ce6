// Off-line use and new versions, see worker/sw.ts.

import { trust } from "./engine/start";
import { tell } from "./shell/toasts";

/** Registers the service worker when the page has nothing better to do. */
export function keepOffline(): void {
  if (!("serviceWorker" in navigator)) {
    return;
  }
  const register = async () => {
    try {
      watch(await navigator.serviceWorker.register(trust("/sw.js")));
    } catch {
      // without it the page works, but only while the bridge is there
    }
  };
  setTimeout(() => void register(), 1500);
}

function watch(registration: ServiceWorkerRegistration): void {
  const offer = (worker: ServiceWorker | null) => {
    if (worker && navigator.serviceWorker.controller) {
      tell("A new version of this page is here.", { word: "Load it", run: () => load(worker) });
    }
  };
  offer(registration.waiting);
  registration.addEventListener("updatefound", () => {
    const worker = registration.installing;
    worker?.addEventListener("statechange", () => worker.state === "installed" && offer(worker));
  });
}

function load(worker: ServiceWorker): void {
  navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
  worker.postMessage("activate");
}
