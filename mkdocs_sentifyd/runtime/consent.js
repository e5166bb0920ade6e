// Loads nothing before the visitor agrees.
import { cancel, discard, holds, settings, update } from "./core.js";
import { wipe } from "./opening.js";

export let hasAgreed = false;
let name = settings?.consent ?? "";
/** @type {Choices} */
let decisions = {};

const scope = window.__md_scope ?? new URL("../../..", import.meta.url);
const key = () => `${scope.pathname}.__consent.${name}`;
// The answers of Material's form.
const form = () => window.__md_get?.("__consent");

function isStored() {
  try {
    return (form() ?? { [name]: key() in localStorage })[name];
  } catch {}
}

/** @param {boolean} agreed */
function store(agreed) {
  try {
    const answers = form();
    delete localStorage[key()];
    if (answers) window.__md_set("__consent", { ...answers, [name]: agreed });
    else if (agreed) localStorage[key()] = true;
  } catch {}
}

/** @param {boolean} agreed */
export function answer(agreed) {
  document.dispatchEvent(new CustomEvent("sentifyd:consent", { detail: { [name]: agreed } }));
  store(agreed);
  // Otherwise the storage is blocked.
  if (!!isStored() === agreed) delete decisions[name];
}

/** @type {Part} */
export default (settings) => {
  name = settings?.consent ?? name;
  const agreed = !!(decisions[name] ?? isStored());
  document.querySelectorAll("button[data-sentifyd-withdraw]").forEach((control) => {
    control.disabled = !agreed;
  });
  if (agreed !== hasAgreed) {
    hasAgreed = agreed;
    if (!agreed) cancel();
    // The form shows it too.
    const box = document.querySelector(`form[name=consent] input[name=${name}]`);
    if (box) box.checked = agreed;
  }
  if (agreed) return holds.delete("consent");
  holds.add("consent");
  discard();
  wipe();
};

document.addEventListener("sentifyd:consent", ({ detail }) => {
  decisions = { ...decisions, ...detail };
  if (detail?.[name] === false) store(false);
  update();
});
document.addEventListener("click", ({ target }) => {
  if (target.closest("[data-sentifyd-withdraw]")) answer(false);
});
// Consent may have changed in another tab, or before a return to this page.
addEventListener("storage", update);
addEventListener("pageshow", update);
document.dispatchEvent(new Event("sentifyd:consent-wanted"));
