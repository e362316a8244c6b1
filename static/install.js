// Lets the browser install these pages. Only over HTTPS or on this machine; elsewhere nothing happens.

// The worker is a process of its own, and starting it takes from what draws the page.
const LATER = 2000;

setTimeout(() => {
  navigator.serviceWorker?.register("/service-worker.js").catch(() => {
    // A certificate that is not trusted yet: the pages work all the same, they cannot be installed.
  });
}, LATER);
