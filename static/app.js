// Everything here is a comfort: each page also works by plain form and reload.

const root = document.documentElement;
const body = document.body;

// --- Copying -----------------------------------------------------------------------------------

async function copy(text) {
  // On plain HTTP in the LAN there is no clipboard API, so an old way is kept.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = Object.assign(document.createElement("textarea"), { value: text });
  body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

function showCopied(button) {
  const label = button.querySelector("span") ?? button;
  const before = label.textContent;
  if (before === body.dataset.labelCopied) return;
  label.textContent = body.dataset.labelCopied;
  setTimeout(() => { label.textContent = before; }, 1600);
}

async function textFor(button) {
  const { copy: id, copyFrom: url } = button.dataset;
  if (url) return (await fetch(url)).text();
  if (id) {
    const source = document.getElementById(id);
    return source.value ?? source.innerText;
  }
  return button.closest(".code-block").querySelector("code").innerText;
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy], [data-copy-from], .copy-code");
  if (!button) return;
  event.preventDefault();
  await copy(await textFor(button));
  showCopied(button);
});

function codeButton(kind, label) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = `${kind} ghost small`;
  button.textContent = label;
  return button;
}

/** Every code block gets buttons; the server cannot know whether there is a script. */
function addCopyButtons(part) {
  for (const head of part.querySelectorAll(".code-head:not(:has(button))")) {
    head.append(codeButton("copy-code", body.dataset.labelCopy));
    head.append(codeButton("save-code", body.dataset.labelSave));
  }
}

document.addEventListener("click", (event) => {
  const button = event.target.closest(".save-code");
  if (!button) return;
  const code = button.closest(".code-block").querySelector("code").innerText;
  const address = URL.createObjectURL(new Blob([code], { type: "text/plain" }));
  const download = button.closest(".code-head").dataset.file ?? "code.txt";
  Object.assign(document.createElement("a"), { href: address, download }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
});

// --- Writing -----------------------------------------------------------------------------------

const finePointer = matchMedia("(pointer: fine)");

function fit(area) {
  if (CSS.supports("field-sizing", "content")) return;
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight}px`;
}

document.addEventListener("input", (event) => {
  if (event.target.matches("textarea")) fit(event.target);
});

document.addEventListener("keydown", (event) => {
  // An input method uses Enter to choose a word; that must not send.
  if (event.key !== "Enter" || event.isComposing || !event.target.matches("form textarea")) return;
  const form = event.target.form;
  const plain = form.matches("[data-composer]") && finePointer.matches && !event.shiftKey;
  if (!plain && !event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  const busy = form.matches("[data-composer]") && document.querySelector(".chat .stream");
  if (!busy) form.requestSubmit();
});

document.addEventListener("htmx:afterRequest", (event) => {
  const form = event.target;
  if (!form.matches?.("[data-composer]") || !event.detail.successful || !form.isConnected) return;
  form.prompt.value = "";
  fit(form.prompt);
  form.prompt.focus();
});

// --- Reading along -----------------------------------------------------------------------------

const page = document.scrollingElement;
const atEnd = () => page.scrollHeight - page.clientHeight - page.scrollTop < 48;
const toEnd = () => { page.scrollTop = page.scrollHeight; };
// start.js went there; by now the reader may have gone elsewhere, or the browser back to where they were.
const fromTheEnd = atEnd();
let following = fromTheEnd || !("moved" in root.dataset);

// A reader who scrolls up is left in peace; back at the end, the page follows again.
addEventListener("wheel", (event) => { if (event.deltaY < 0) following = false; }, { passive: true });
addEventListener("touchmove", () => { following = atEnd(); }, { passive: true });
addEventListener("scroll", () => { if (atEnd()) following = true; }, { passive: true });
addEventListener("keydown", (event) => {
  if (["PageUp", "Home", "ArrowUp"].includes(event.key) && event.target === body) following = false;
});

document.addEventListener("htmx:sseMessage", () => {
  if (following && document.getElementById("messages")) toEnd();
});
document.addEventListener("htmx:afterSwap", (event) => {
  if (!["messages", "chat"].includes(event.detail.target?.id)) return;
  following = true;
  toEnd();
});

// --- Theme, menu, start ------------------------------------------------------------------------

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-theme-form]") || !event.submitter) return;
  event.preventDefault();
  const theme = event.submitter.value;
  root.dataset.theme = theme;
  for (const button of form.elements) button.ariaPressed = String(button.value === theme);
  fetch(form.action, { method: "POST", body: new URLSearchParams({ theme }), redirect: "manual" });
});

document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.popover[open], details.menu[open]")) {
    if (!open.contains(event.target) && !event.target.closest("#sidebar")) open.open = false;
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll("details.popover[open], details.menu[open]")) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});

/** The server writes times of its own zone; a reader elsewhere sees theirs. */
function localTimes(part) {
  for (const time of part.querySelectorAll("time[data-local]")) {
    const style = time.dataset.local || "medium";
    const moment = new Date(time.dateTime);
    time.textContent = moment.toLocaleString(root.lang, { dateStyle: style, timeStyle: style });
  }
}

// A tab that nobody looks at need not ask how things are.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.target.matches("[data-pause-hidden]")) event.preventDefault();
});

document.addEventListener("htmx:load", (event) => {
  addCopyButtons(event.detail.elt);
  localTimes(event.detail.elt);
});
addCopyButtons(document);
localTimes(document);
for (const area of document.querySelectorAll("textarea")) fit(area);
if (fromTheEnd && document.querySelector("#messages .message") && !location.hash) toEnd();
