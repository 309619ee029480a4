// Makes the browser work a little before it sends the form, while very many requests come in.
// Without scripts, or where the browser cannot do it, the page says when to try again.
import "./vendor/altcha/altcha.min.js";
import "./vendor/altcha/i18n/fi.js";

const worker = new URL("vendor/altcha/workers/pbkdf2.js", import.meta.url);
$altcha.algorithms.set("PBKDF2/SHA-256", () => new Worker(worker));
// Nothing about how somebody moves a mouse is collected, and nothing leads to another site.
$altcha.defaults.set({ humanInteractionSignature: false, hideFooter: true, hideLogo: true });

if (globalThis.isSecureContext) {
  for (const element of document.querySelectorAll("[data-without-proof]")) element.hidden = true;
  for (const element of document.querySelectorAll("[data-with-proof]")) element.hidden = false;
}
