// Shows a notice when the appliance cannot be reached. Keeps the notice and what it is drawn with,
// and never a page: pages are private and belong to whoever is signed in.

// `KEPT`, the notice with its files, and its `VERSION` are written before this by the server.

const CACHE = `offline-${VERSION}`;
const [NOTICE] = KEPT;

// A page would wait until this worker is awake, only to be fetched as it always is. Where a browser
// can be told so beforehand, the network is asked at once, and the worker only where that fails.
function ways() {
  const files = KEPT.slice(1).map((address) => {
    const { pathname, search } = new URL(address, location);
    const condition = { urlPattern: new URLPattern({ pathname, search }) };
    return { condition, source: { cacheName: CACHE } };
  });
  return [
    { condition: { requestMode: "navigate" }, source: "race-network-and-fetch-handler" },
    ...files,
    { condition: { urlPattern: "/*" }, source: "network" },
  ];
}

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(KEPT)));
  event.addRoutes?.(ways()).catch(() => {});
  self.skipWaiting();
});

async function takeOver() {
  const old = (await caches.keys()).filter((name) => name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.registration.navigationPreload?.enable();
  await self.clients.claim();
}
self.addEventListener("activate", (event) => event.waitUntil(takeOver()));

async function pageOrNotice(event) {
  try {
    return (await event.preloadResponse) ?? (await fetch(event.request));
  } catch {
    return (await caches.match(NOTICE, { ignoreVary: true })) ?? Response.error();
  }
}

async function keptOrAsked(request) {
  return (await caches.match(request, { ignoreVary: true })) ?? fetch(request);
}

const isKept = ({ pathname, search }) => KEPT.includes(pathname + search);

self.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET") return;
  if (request.mode === "navigate") event.respondWith(pageOrNotice(event));
  else if (isKept(new URL(request.url))) event.respondWith(keptOrAsked(request));
});
