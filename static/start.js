// Begins the page's scripts once the first frame has been drawn: before that they take from what draws
// it. Until `data-ready` stands on the root, everything works as it does without a script.

{
  const root = document.documentElement;
  const { scripts } = document.currentScript.dataset;
  // A tab in the background draws no frame, and a window that is covered may not either.
  const UNDRAWN = 500;

  // What moves other things on the page is done now: nothing is to jump under a reader's eyes.
  const place = () => {
    for (const fold of document.querySelectorAll("details[data-fold]")) {
      // By the name under which chat.js keeps it, in a browser that keeps something.
      try { if (localStorage.getItem(`fold ${fold.dataset.fold}`)) fold.open = false; } catch { break; }
    }
    if (!document.querySelector("#messages .message")) return;
    const page = document.scrollingElement;
    if (!location.hash) page.scrollTop = page.scrollHeight;
    // Whoever has looked around meanwhile is not taken elsewhere by a script that comes later.
    const moved = () => { root.dataset.moved ??= ""; };
    for (const kind of ["wheel", "touchmove", "keydown"]) addEventListener(kind, moved, { once: true, passive: true });
  };

  const frame = () => new Promise((drawn) => {
    requestAnimationFrame(() => setTimeout(drawn));
    setTimeout(drawn, document.hidden ? 0 : UNDRAWN);
  });

  // One after the other in their order; one that does not come keeps no other from running.
  const run = (address) => new Promise((done) => {
    const script = document.createElement("script");
    if (!address.includes("/vendor/")) script.type = "module";
    Object.assign(script, { src: address, async: false, onload: done, onerror: done });
    document.head.append(script);
  });

  const begin = async () => {
    await frame();
    await Promise.all(scripts.trim().split(/\s+/).map(run));
    // htmx took up the page as it ran, and its extension for streams came after that.
    globalThis.htmx?.process(document.body);
    setTimeout(() => { root.dataset.ready = ""; });
  };

  // A way back among addresses that htmx has set, before it is there to go it.
  addEventListener("popstate", ({ state }) => { if (state?.htmx && !globalThis.htmx) location.reload(); });

  place();
  // Not sooner: htmx takes up a page by itself before `DOMContentLoaded` and after `load`, not between.
  addEventListener("load", begin, { once: true });
}
