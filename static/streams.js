// One browser, few connections. HTTP/1.1 allows six to one host, and every growing answer in a tab
// would hold one: with seven tabs nothing else would load. So at most FOUR streams are open in a
// browser at a time, shared out by Web Locks, which a closed tab lets go by itself. A tab without
// a lock asks now and then what stands (`?once`, a short request), as does a tab in the background.
// Where there are no locks (plain HTTP in the LAN) only tabs in sight stream.

const PLACES = 4;
const SOON = 1000;
const LATER = 5000;

/** What htmx needs of an EventSource, on a stream where there is a place, else by asking. */
class SharedSource extends EventTarget {
  constructor(url) {
    super();
    this.url = url;
    this.readyState = EventSource.CONNECTING;
    this.names = new Set();
    this.onLook = () => this.change();
    document.addEventListener("visibilitychange", this.onLook);
    // Listeners are added right after this returns.
    setTimeout(() => this.change());
  }

  addEventListener(name, listener, options) {
    super.addEventListener(name, listener, options);
    if (!this.names.has(name) && this.source) this.relay(name);
    this.names.add(name);
  }

  async change() {
    if (this.closed || this.changing) return;
    this.changing = true;
    const release = document.hidden ? null : this.source ? this.release : await takePlace();
    this.changing = false;
    if (this.closed) { release?.(); return; }
    clearTimeout(this.timer);
    if (release && !this.source) this.stream(release);
    if (!release) { this.leave(); this.ask(); }
  }

  stream(release) {
    this.release = release;
    this.source = new EventSource(this.url);
    for (const name of this.names) this.relay(name);
    this.source.onopen = () => { this.readyState = EventSource.OPEN; this.onopen?.(); };
    this.source.onerror = (event) => {
      this.readyState = this.source.readyState;
      if (this.readyState === EventSource.CLOSED) this.leave();
      this.onerror?.(event);
    };
  }

  relay(name) {
    this.source.addEventListener(name, (event) => this.say(name, event.data));
  }

  say(name, data) {
    this.dispatchEvent(new MessageEvent(name, { data }));
  }

  async ask() {
    const address = this.url + (this.url.includes("?") ? "&" : "?") + "once=1";
    try {
      const answer = await fetch(address, { headers: { Accept: "text/event-stream" } });
      if (!answer.ok) throw new Error(String(answer.status));
      const text = await answer.text();
      if (this.closed || this.source) return;
      this.readyState = EventSource.OPEN;
      for (const [name, data] of parse(text)) this.say(name, data);
    } catch {
      // The appliance may be starting again; the next try will tell.
    }
    if (this.closed || this.source) return;
    // A place may have become free; else this asks again.
    this.timer = setTimeout(() => this.change(), document.hidden ? LATER : SOON);
  }

  leave() {
    this.source?.close();
    this.release?.();
    this.source = this.release = null;
  }

  close() {
    this.closed = true;
    this.readyState = EventSource.CLOSED;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.onLook);
    this.leave();
  }
}

/** A function that gives the place back; null when all are taken. */
async function takePlace() {
  if (!navigator.locks) return () => {};
  for (let place = 0; place < PLACES; place += 1) {
    const release = await new Promise((answer) => {
      navigator.locks.request(`stream-${place}`, { ifAvailable: true }, (lock) =>
        lock ? new Promise((done) => answer(done)) : answer(null));
    });
    if (release) return release;
  }
  return null;
}

function* parse(text) {
  for (const block of text.split("\n\n")) {
    const lines = block.split("\n");
    const name = lines.find((line) => line.startsWith("event: "))?.slice(7);
    const data = lines.filter((line) => line.startsWith("data: ")).map((line) => line.slice(6));
    if (name) yield [name, data.join("\n")];
  }
}

if ("htmx" in globalThis) htmx.createEventSource = (url) => new SharedSource(url);
