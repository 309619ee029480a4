// Follows a campaign on its way. Without it, the page has a link that loads it anew.
const bar = document.querySelector("progress[data-from]");
const words = document.getElementById("progress-said");

async function look() {
  try {
    const answer = await fetch(bar.dataset.from, { headers: { Accept: "application/json" } });
    const told = await answer.json();
    bar.max = told.of || 1;
    bar.value = told.handled;
    words.textContent = told.said;
    if (told.status !== "sending") return location.reload();
  } catch {
    // The server is away for a moment: asked again.
  }
  setTimeout(look, document.hidden ? 10_000 : 2_000);
}
setTimeout(look, 1_000);
