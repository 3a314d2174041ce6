// The service worker keeps the page's files, so that it opens without the
// bridge. It is registered after the engine is ready: the first load does not
// wait for it. What is not a file of the page goes to the network untouched.

const scope = self as unknown as ServiceWorkerGlobalScope;
const files = JSON.parse(FILES) as string[];
const prefix = "lamplighter-";
const cacheName = prefix + VERSION;

/** Fetches all files; hashed ones come out of the browser's own cache. */
async function install(): Promise<void> {
  const cache = await caches.open(cacheName);
  const old = await caches.keys();
  await Promise.all(
    files.map(async (file) => {
      const hashed = file.startsWith("/assets/");
      const known = hashed && old.length > 1 ? await caches.match(file) : undefined;
      if (known) {
        await cache.put(file, known);
      } else {
        await cache.add(new Request(file, { cache: hashed ? "default" : "no-cache" }));
      }
    }),
  );
}

/** Drops the files of older versions. */
async function activate(): Promise<void> {
  for (const name of await caches.keys()) {
    if (name.startsWith(prefix) && name !== cacheName) {
      await caches.delete(name);
    }
  }
}

async function serve(request: Request, file: string): Promise<Response> {
  const cache = await caches.open(cacheName);
  return (await cache.match(file)) ?? fetch(request);
}

/** Where the browser can, it answers from the cache without starting this worker first. */
interface StaticRoutes {
  addRoutes?(rule: { condition: { urlPattern: { pathname: string } }; source: { cacheName: string } }): Promise<void>;
}

scope.addEventListener("install", (event) => {
  event.waitUntil(install());
  for (const pathname of ["/", "/assets/*"]) {
    const routed = (event as StaticRoutes).addRoutes?.({ condition: { urlPattern: { pathname } }, source: { cacheName } });
    event.waitUntil(Promise.resolve(routed).catch(() => {})); // the listener below does the same, later
  }
});
scope.addEventListener("activate", (event) => event.waitUntil(activate()));

scope.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== scope.location.origin) {
    return;
  }
  if (files.includes(url.pathname)) {
    event.respondWith(serve(event.request, url.pathname));
  }
});

// A new version waits until the person says so; then every tab loads it.
scope.addEventListener("message", (event) => {
  if (event.data === "activate") {
    void scope.skipWaiting();
  }
});
