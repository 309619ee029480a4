// The subscription form on another site: fetched from where this file comes from, shown in place of
// the script's tag, sent without leaving the page. Whenever anything is in the way, the plain form or
// a link to it takes over. No dependencies, no cookies, nothing stored, no style of its own.
(() => {
  "use strict";
  const tag = document.currentScript;
  const home = new URL("..", tag.src);
  const query = new URLSearchParams({ lang: tag.dataset.lang || "" });
  for (const slug of (tag.dataset.lists || "").split(",")) if (slug) query.append("lists", slug);

  fetch(new URL(`subscribe/form?${query}`, home), { credentials: "omit" })
    .then((answer) => (answer.ok ? answer.text() : Promise.reject(answer.status)))
    .then(show)
    .catch(showLink);

  function showLink() {
    const hidden = tag.nextElementSibling;
    if (hidden?.tagName !== "NOSCRIPT") return;
    const shown = document.createElement("p");
    shown.innerHTML = hidden.textContent;
    hidden.replaceWith(shown);
  }

  function show(text) {
    const place = document.createElement("div");
    place.innerHTML = text;
    tag.before(place);
    const form = place.querySelector("form");
    form.noValidate = true; // our own messages say which box is meant
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      send(form);
    });
  }

  async function send(form) {
    const filled = new FormData(form);
    const button = form.querySelector("button");
    tell(form, "status", form.dataset.sending);
    button.disabled = true;
    let answer;
    let problem = {};
    try {
      answer = await fetch(new URL("api/v1/subscriptions", home), {
        method: "POST",
        credentials: "omit",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({
          email: filled.get("email"),
          lists: filled.getAll("lists"),
          consent: filled.get("consent") === "yes",
          // Left out where the box is empty: only a ticked one says something.
          tracking: { yes: true, no: false }[filled.get("tracking")],
          language: filled.get("lang"),
        }),
      });
      if (answer.status !== 202) problem = await answer.json();
    } catch {
      answer = { status: 0 };
    }
    button.disabled = false;
    if (answer.status === 202) {
      finish(form);
      return;
    }
    const errors = Object.entries(problem.errors || {});
    if (errors.length) {
      refuse(form, errors);
    } else if (answer.status === 429) {
      tell(form, "alert", problem.detail);
      showLink(); // the page of the form can ask for more than this one
    } else {
      form.submit(); // nothing came back that says what is wrong: the page of the form will
    }
  }

  function finish(form) {
    const said = document.createElement("p");
    said.setAttribute("role", "status");
    said.tabIndex = -1;
    said.textContent = form.dataset.sent;
    form.replaceWith(said);
    said.focus();
  }

  function refuse(form, errors) {
    const fields = errors.map(([name]) => form.elements[name]).map((found) => found?.[0] || found);
    for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
    const said = tell(form, "alert", errors.map(([, message]) => message).join(" "));
    said.id = `${form.elements.email.id}-said`;
    for (const field of fields.filter(Boolean)) {
      field.setAttribute("aria-invalid", "true");
      field.setAttribute("aria-describedby", said.id);
    }
    fields.find(Boolean)?.focus();
  }

  function tell(form, role, text) {
    let said = form.querySelector("[data-said]");
    if (!said) {
      said = document.createElement("p");
      said.dataset.said = "";
      form.prepend(said);
    }
    said.setAttribute("role", role);
    said.textContent = text;
    return said;
  }
})();
