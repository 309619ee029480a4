// Single keys for the staff pages: "?" shows them, "/" goes to the first field, "g" and a letter to a page.
// Whoever has turned them off does not get this file at all (WCAG 2.1.4).
const dialog = document.getElementById("keys");
const opener = document.getElementById("keys-open");
let going = false;

function show() {
  if (dialog.open) return;
  dialog.showModal(); // takes the focus in, keeps it, and gives it back when it closes
  document.getElementById("keys-title").focus();
}

function isTyping(target) {
  return target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
}

function firstField() {
  const fields = document.querySelectorAll("main input:not([type=hidden]), main select, main textarea");
  return [...fields].find((field) => field.offsetParent);
}

opener.setAttribute("role", "button");
opener.setAttribute("aria-haspopup", "dialog");
opener.setAttribute("aria-keyshortcuts", "?");
opener.addEventListener("click", (event) => {
  event.preventDefault();
  show();
});

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Shift" || isTyping(event.target) || dialog.open) return;
  // However long somebody needs for the second key: only another key ends the wait.
  const page = going && document.querySelector(`#keys [data-keys="${CSS.escape(event.key.toLowerCase())}"]`);
  going = !going && event.key === "g";
  if (page) {
    event.preventDefault();
    location.assign(page.href);
  } else if (event.key === "?" || (event.key === " " && event.target === opener)) {
    event.preventDefault(); // a button is pressed with the space bar
    show();
  } else if (event.key === "/") {
    event.preventDefault(); // Firefox's own search
    firstField()?.focus();
  }
});
