// Adds a button to each [data-copy] that copies the text of the field it names. Without it, the text can be selected.
for (const place of document.querySelectorAll("[data-copy]")) {
  const field = document.getElementById(place.dataset.copy);
  const button = document.createElement("button");
  const said = document.createElement("span");
  button.type = "button";
  button.className = "button second";
  button.textContent = place.dataset.label;
  button.setAttribute("aria-describedby", place.dataset.describedby);
  said.setAttribute("role", "status");
  button.addEventListener("click", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      document.execCommand("copy"); // pages on plain http have no clipboard of their own
    }
    said.textContent = place.dataset.done;
  });
  place.append(button, " ", said);
}
