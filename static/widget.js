// A button on somebody's page that opens an assistant of the appliance in a frame.
// <script src="…/widget.js" data-talk="ADDRESS" data-label="NAME" async></script>

(() => {
  const { talk, label = "?" } = document.currentScript.dataset;
  if (!talk) return;
  let frame = null;

  const button = document.createElement("button");
  button.type = "button";
  button.textContent = label;
  button.setAttribute("aria-expanded", "false");
  Object.assign(button.style, {
    position: "fixed", insetInlineEnd: "1rem", bottom: "1rem", zIndex: "2147483000",
    minHeight: "3rem", padding: "0.5rem 1.25rem", border: "0", borderRadius: "1.5rem",
    background: "#0b6b61", color: "#fff", font: "600 1rem system-ui, sans-serif", cursor: "pointer",
    boxShadow: "0 4px 16px #0004",
  });

  function open() {
    frame = document.createElement("iframe");
    Object.assign(frame, { src: talk, title: label });
    Object.assign(frame.style, {
      position: "fixed", insetInlineEnd: "1rem", bottom: "4.75rem", zIndex: "2147483000",
      width: "min(24rem, calc(100vw - 2rem))", height: "min(36rem, calc(100vh - 6rem))",
      border: "1px solid #8d877c", borderRadius: "12px", background: "#fff",
      boxShadow: "0 8px 32px #0004",
    });
    document.body.append(frame);
  }

  button.addEventListener("click", () => {
    if (frame) frame.hidden = !frame.hidden;
    else open();
    frame.style.display = frame.hidden ? "none" : "block";
    button.setAttribute("aria-expanded", String(!frame.hidden));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && frame && !frame.hidden) button.click();
  });
  const show = () => document.body.append(button);
  if (document.body) show();
  else document.addEventListener("DOMContentLoaded", show);
})();
