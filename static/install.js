// Lets the browser install these pages. Only over HTTPS or on this machine; elsewhere nothing happens.

// The worker is a process of its own, and starting it takes from what paints the page; `load` may come
// before the first paint.
const LATER = 2000;
if (document.readyState === "complete") setTimeout(register, LATER);
else addEventListener("load", () => setTimeout(register, LATER), { once: true });

function register() {
  navigator.serviceWorker?.register("/service-worker.js").catch(() => {
    // A certificate that is not trusted yet: the pages work all the same, they cannot be installed.
  });
}
