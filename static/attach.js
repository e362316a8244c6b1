// Attaching without the extra press: choosing, dropping or pasting a file attaches it at once.

const attachTo = (form, files) => {
  const input = form.querySelector(".attach-files");
  if (!input || !files.length) return;
  input.files = files;
  form.querySelector(".attach-send").click();
};

document.addEventListener("change", (event) => {
  if (event.target.matches(".attach-files") && event.target.files.length) {
    event.target.form.querySelector(".attach-send").click();
  }
});

// Chosen before this script was there to see it.
document.addEventListener("htmx:load", (event) => {
  if (event.detail.elt !== document.body) return;
  for (const { files, form } of document.querySelectorAll(".attach-files")) {
    if (files.length) form.querySelector(".attach-send").click();
  }
});

for (const kind of ["dragover", "drop"]) {
  document.addEventListener(kind, (event) => {
    const form = event.target.closest?.("form:has(.attach-files)");
    if (!form || ![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault();
    if (kind === "drop") attachTo(form, event.dataTransfer.files);
  });
}

document.addEventListener("paste", (event) => {
  const form = event.target.closest?.("form:has(.attach-files)");
  if (!form || !event.clipboardData.files.length || event.clipboardData.getData("text")) return;
  event.preventDefault();
  attachTo(form, event.clipboardData.files);
});

document.addEventListener("htmx:afterRequest", (event) => {
  const { elt, successful } = event.detail;
  const form = elt.closest("form");
  if (elt.matches(".attach-send")) form.querySelector(".attach-files").value = "";
  if (!successful || !elt.matches("[data-composer]")) return;
  const drafts = elt.querySelector("#attached");
  if (drafts) Object.assign(drafts, { innerHTML: "", hidden: true });
});
