// Comforts of the writing assistant and the code helper: the selected part, changes by keyboard.
// Without this script the part is pasted into a field, and changes are plain checkboxes.

const byId = (id) => document.getElementById(id);

// --- The selected part -------------------------------------------------------------------------

/** The server counts characters, a script counts halves of some of them. */
const characters = (text) => [...text].length;

function showPart() {
  const text = byId("text");
  if (!text) return;
  const from = text.value.slice(0, text.selectionStart);
  const part = text.value.slice(text.selectionStart, text.selectionEnd);
  const chosen = part.trim() !== "" && part.trim() !== text.value.trim();
  const start = characters(from);
  byId("start").value = chosen ? start : "";
  byId("end").value = chosen ? start + characters(part) : "";
  const said = byId("part-size");
  const sentence = chosen ? said.dataset.part.replace("%(count)s", characters(part)) : said.dataset.all;
  if (said.textContent !== sentence) said.textContent = sentence;
  byId("part-note").classList.toggle("chosen", chosen);
  byId("part-clear").hidden = !chosen;
}

for (const kind of ["select", "keyup", "pointerup", "input"]) {
  document.addEventListener(kind, (event) => {
    // A click elsewhere leaves the selection in the text as it was.
    if (kind === "pointerup" ? document.activeElement?.id === "text" : event.target.id === "text") {
      requestAnimationFrame(showPart);
    }
  });
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("#part-clear")) return;
  const text = byId("text");
  text.focus();
  text.setSelectionRange(text.selectionEnd, text.selectionEnd);
  showPart();
});

// --- Changes, one by one -----------------------------------------------------------------------

const changes = () => [...document.querySelectorAll("#difference input[name=change]")];

document.addEventListener("keydown", (event) => {
  if (!event.target.matches?.("#difference input[name=change]")) return;
  const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const all = changes();
  const next = all[(all.indexOf(event.target) + step + all.length) % all.length];
  next.focus();
  next.closest(".change").scrollIntoView({ block: "nearest" });
});

// --- Order and stop ----------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !event.defaultPrevented) byId("stop")?.click();
  const order = event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing;
  // In a text area the shared script does this already.
  if (!order || event.target.matches?.("textarea") || !event.target.closest?.("#order")) return;
  event.preventDefault();
  byId("order").requestSubmit();
});

document.addEventListener("htmx:load", () => { if (byId("text")) showPart(); });
