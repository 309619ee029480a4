// The writing page with scripts: a toolbar, saving by itself, the preview beside it, pictures dropped onto the text.
const form = document.getElementById("editor");
const body = document.getElementById("body");
const said = document.getElementById("said");
const desk = document.querySelector(".writing");
const frame = document.querySelector("#preview iframe");
const PAUSE = 900;
let waiting = 0;
let saving = false;
let stopped = !frame; // the page that shows a conflict is saved by its button alone
// As the page came: somebody may have typed before this script arrived.
let written = snapshot("defaultValue");

function snapshot(which = "value") {
  return JSON.stringify([form.elements.subject, form.elements.preview, body].map((field) => field[which]));
}

// --- saving --------------------------------------------------------------------------------------

function later(wait = PAUSE) {
  clearTimeout(waiting);
  if (!stopped) waiting = setTimeout(save, wait);
}

async function save() {
  const now = snapshot();
  if (saving || stopped || now === written) return;
  saving = true;
  said.textContent = form.dataset.saving;
  try {
    const answer = await fetch(form.action, {
      method: "POST", body: new FormData(form), headers: { Accept: "application/json" },
    });
    const told = answer.headers.get("Content-Type") === "application/json" ? await answer.json() : null;
    if (answer.status === 409) return conflict(told.said);
    if (!told) throw new Error(answer.status);
    said.textContent = told.said;
    if (answer.ok) {
      written = now;
      form.elements.version.value = told.version;
      refresh();
    }
  } catch {
    said.textContent = form.dataset.offline;
    later(10_000);
  } finally {
    saving = false;
  }
  if (!stopped && snapshot() !== now) later();
}

function conflict(words) {
  stopped = true;
  const show = document.createElement("button");
  show.type = "submit";
  show.className = "button second";
  show.textContent = form.dataset.show;
  said.replaceChildren(words, " ", show);
}

form.addEventListener("input", () => later());
if (snapshot() !== written) later();
form.addEventListener("submit", () => { stopped = true; });
addEventListener("beforeunload", (event) => {
  if (!stopped && snapshot() !== written) event.preventDefault();
});
addEventListener("pagehide", () => {
  // Whoever leaves all the same takes nothing with them; a conflict would keep what stands there.
  if (stopped || snapshot() === written) return;
  fetch(form.action, { method: "POST", body: new FormData(form), headers: { Accept: "application/json" }, keepalive: true });
});

// --- the preview ---------------------------------------------------------------------------------

function refresh() {
  const top = frame.contentWindow?.scrollY ?? 0;
  frame.addEventListener("load", () => frame.contentWindow.scrollTo(0, top), { once: true });
  frame.contentWindow.location.reload();
}

for (const tab of document.querySelectorAll(".views a")) {
  tab.addEventListener("click", (event) => {
    event.preventDefault();
    document.querySelector(".views [aria-current]").removeAttribute("aria-current");
    tab.setAttribute("aria-current", "true");
    desk.dataset.view = tab.dataset.view;
    frame.contentWindow.location.replace(tab.dataset.frame);
  });
}

// --- the toolbar ---------------------------------------------------------------------------------

function put(before, after, words) {
  const { selectionStart: start, selectionEnd: end } = body;
  const chosen = body.value.slice(start, end) || words;
  const fresh = start > 0 && body.value[start - 1] !== "\n" && /^(#|-|:|!\[)/.test(before) ? "\n\n" : "";
  body.focus();
  // execCommand keeps the way back (undo), which setting the value would not.
  if (!document.execCommand("insertText", false, fresh + before + chosen + after)) {
    body.setRangeText(fresh + before + chosen + after, start, end, "end");
    body.dispatchEvent(new Event("input", { bubbles: true }));
  }
  const from = start + fresh.length + before.length;
  body.setSelectionRange(from, from + chosen.length);
}

const tools = document.querySelector(".tools");
tools.hidden = false;
const buttons = [...tools.querySelectorAll("button")];
buttons.forEach((button, position) => {
  // One stop for the tabulator key; the arrows go from tool to tool.
  button.tabIndex = position ? -1 : 0;
  button.addEventListener("click", () => put(button.dataset.before, button.dataset.after, button.dataset.words));
  button.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = buttons.at((position + step) % buttons.length);
    button.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
});

// --- pictures ------------------------------------------------------------------------------------

const upload = document.getElementById("upload");
const uploadSaid = document.getElementById("upload-said");

async function send(file) {
  const data = new FormData(upload);
  data.set("picture", file);
  if (!data.get("alt")) data.set("alt", upload.dataset.describe);
  uploadSaid.textContent = "…";
  try {
    const answer = await fetch(upload.action, { method: "POST", body: data, headers: { Accept: "application/json" } });
    const told = await answer.json();
    uploadSaid.textContent = told.said ?? "";
    if (!answer.ok) return;
    const alt = told.markdown.slice(2, told.markdown.indexOf("]"));
    put("![", told.markdown.slice(2 + alt.length), alt);
    upload.reset();
  } catch {
    uploadSaid.textContent = upload.dataset.failed;
  }
}

upload.addEventListener("submit", (event) => {
  const [file] = upload.elements.picture.files;
  if (!file) return;
  event.preventDefault();
  send(file);
});
body.addEventListener("dragover", (event) => {
  if (![...event.dataTransfer.types].includes("Files")) return;
  event.preventDefault();
  body.classList.add("over");
});
body.addEventListener("dragleave", () => body.classList.remove("over"));
body.addEventListener("drop", (event) => {
  body.classList.remove("over");
  const pictures = [...event.dataTransfer.files];
  if (!pictures.length) return;
  event.preventDefault();
  pictures.reduce((before, file) => before.then(() => send(file)), Promise.resolve());
});
