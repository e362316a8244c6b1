// Looks every few seconds whether the appliance is back, and then shows what was asked for.

async function look() {
  const answer = await fetch("/health", { cache: "no-store" }).catch(() => null);
  if (answer?.ok) location.reload();
}

setInterval(look, 3000);
addEventListener("online", look);
