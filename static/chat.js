// Comforts of the chat: drafts, keys, folds. The chat also works by plain form and reload.

const get = (id) => document.getElementById(id);
const stored = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
function store(name, value) {
  try {
    if (value) localStorage.setItem(name, value); else localStorage.removeItem(name);
  } catch {
    // A browser that keeps nothing is no reason to stop.
  }
}

// --- Drafts: one for each chat, none for a temporary one -------------------------------------------

const draftName = () => (get("chat")?.hasAttribute("data-temporary") ? null : `draft ${location.pathname}`);

function restoreDraft() {
  const area = get("prompt"), name = draftName();
  if (!area || !name || area.value) return;
  const draft = stored(name);
  if (!draft) return;
  area.value = draft;
  area.dispatchEvent(new Event("input", { bubbles: true }));
}

/** What was written before this script was there to see it. */
function keepTyped() {
  const area = get("prompt"), name = draftName();
  if (area && name && area.value !== area.defaultValue) store(name, area.value);
}

document.addEventListener("input", (event) => {
  if (event.target.id === "prompt" && draftName()) store(draftName(), event.target.value);
});
// Sent: by then a new chat may already have an address of its own.
for (const name of ["submit", "htmx:beforeRequest"]) {
  document.addEventListener(name, (event) => {
    if (event.target.id === "composer" && draftName()) store(draftName(), "");
  });
}

// --- Folds of the list and of the thinking -----------------------------------------------------------

function folds(part) {
  for (const fold of part.querySelectorAll("details[data-fold]")) {
    if (stored(`fold ${fold.dataset.fold}`)) fold.open = false;
  }
}

document.addEventListener("toggle", (event) => {
  const { fold } = event.target.dataset ?? {};
  if (fold) store(`fold ${fold}`, event.target.open ? "" : "closed");
}, true);

// Thinking is open while there is nothing else to read; then it folds, unless the reader chose.
document.addEventListener("click", (event) => {
  const summary = event.target.closest(".stream .reasoning > summary");
  if (summary) summary.parentElement.dataset.chosen = "";
});
document.addEventListener("htmx:sseMessage", (event) => {
  if (!["tail", "settled"].includes(event.detail.type) || !event.detail.data) return;
  const thoughts = event.target.closest?.(".stream")?.querySelector(".reasoning:not([data-chosen])");
  if (thoughts) thoughts.open = false;
});

// --- Keys ----------------------------------------------------------------------------------------------

const writing = (target) => target.matches?.("input, textarea, select, [contenteditable]");
const singleKeys = () => stored("single-keys") !== "off";

function editLast() {
  const edit = [...document.querySelectorAll(".question .edit")].at(-1);
  if (!edit) return false;
  edit.open = true;
  edit.querySelector("textarea").focus();
  return true;
}

function search() {
  const menu = document.querySelector(".menu");
  if (menu?.checkVisibility()) menu.open = true;
  get("search")?.focus();
}

function focusMessage() {
  const area = get("prompt");
  const nowhere = [null, document.body].includes(document.activeElement);
  if (area?.matches("[data-focus]") && nowhere && !location.hash) area.focus();
}

function toMessage() {
  get("prompt")?.focus();
}

function stop() {
  const stream = document.querySelector(".chat .stream");
  if (stream) get("stop")?.requestSubmit();
  return Boolean(stream);
}

function help() {
  const sheet = get("help");
  get("single-keys").checked = singleKeys();
  if (!sheet.open) sheet.showModal();
}

/** What a key press asks for, if anything; true when it was done. */
function press(event) {
  const { key, target } = event;
  const command = event.ctrlKey || event.metaKey;
  if (command && event.shiftKey && key.toLowerCase() === "o") { location.assign("/"); return true; }
  if (command && !event.shiftKey && key.toLowerCase() === "k") { search(); return true; }
  if (key === "Escape" && event.shiftKey) { toMessage(); return true; }
  if (key === "Escape" && !get("help")?.open && !document.querySelector("details.popover[open], details.menu[open]")) return closeEdit(target) || stop();
  if (key === "ArrowUp" && target.id === "prompt" && !target.value) return editLast();
  if (key === "?" && !writing(target) && singleKeys()) { help(); return true; }
  return false;
}

function closeEdit(target) {
  const edit = target.closest?.(".edit[open]");
  if (!edit) return false;
  edit.open = false;
  edit.querySelector("summary").focus();
  return true;
}

// Before the page's own handler closes an open menu: Escape does one thing at a time.
document.addEventListener("keydown", (event) => {
  if (!event.isComposing && press(event)) event.preventDefault();
}, true);
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-open-help]")) help();
});
document.addEventListener("change", (event) => {
  if (event.target.id === "single-keys") store("single-keys", event.target.checked ? "" : "off");
});
document.addEventListener("toggle", (event) => {
  if (event.target.matches?.(".edit[open]")) event.target.querySelector("textarea").focus();
}, true);

document.addEventListener("htmx:load", (event) => {
  folds(event.detail.elt.parentElement ?? document);
  restoreDraft();
  if (event.detail.elt.querySelector?.("#prompt")) focusMessage();
});
keepTyped();
restoreDraft();
