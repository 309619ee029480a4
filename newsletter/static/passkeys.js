// Passkeys: asks the browser to make or to use one, and sends what it says with the form it stands in.
// A button that uses one stays hidden without this, and in browsers that know no passkeys.
const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
const letters = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

// Not all browsers that know passkeys read and write them as JSON, so it is done here.
function read(options) {
  options.challenge = bytes(options.challenge);
  if (options.user) options.user.id = bytes(options.user.id);
  for (const known of options.excludeCredentials ?? []) known.id = bytes(known.id);
  return { publicKey: options };
}

function write({ id, rawId, type, response }) {
  const said = {};
  for (const part of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (response[part]) said[part] = letters(response[part]);
  }
  return JSON.stringify({ id, rawId: letters(rawId), type, response: said, clientExtensionResults: {} });
}

async function ask(place, form) {
  const said = place.querySelector("[role=alert]");
  said.textContent = "";
  try {
    const token = new URLSearchParams({ csrf_token: form.elements.csrf_token.value });
    const answer = await fetch(place.dataset.options, { method: "POST", body: token });
    if (!answer.ok) throw new Error(answer.status);
    const credential = await navigator.credentials[place.dataset.passkey](read(await answer.json()));
    form.elements[place.dataset.field].value = write(credential);
    form.submit();
  } catch (error) {
    said.textContent = (error.name === "InvalidStateError" && place.dataset.known) || place.dataset.failed;
  }
}

for (const place of "PublicKeyCredential" in window ? document.querySelectorAll("[data-passkey]") : []) {
  const form = place.closest("form");
  if (place === form) {
    form.addEventListener("submit", (event) => {
      if (!form.checkValidity()) return; // the server says what is missing, in its own words
      event.preventDefault();
      ask(place, form);
    });
  } else {
    place.hidden = false;
    place.querySelector("button").addEventListener("click", () => ask(place, form));
  }
}
