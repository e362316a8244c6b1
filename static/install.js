// Lets the browser install these pages. Only over HTTPS or on this machine; elsewhere nothing happens.

navigator.serviceWorker?.register("/service-worker.js").catch(() => {
  // A certificate that is not trusted yet: the pages work all the same, they cannot be installed.
});
