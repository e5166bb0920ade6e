// Loads nothing before the visitor agrees.
import { discard, holds, update } from "./core.js";
import { wipe } from "./opening.js";

let name = "";
/** @type {Choices} */
let decisions = {};

/** @type {Part} */
export default (settings) => {
  name = settings?.consent ?? name;
  try {
    // Material and Zensical store the decision; other sites dispatch the event.
    if (decisions[name] ?? window.__md_get?.("__consent")?.[name]) {
      holds.delete("consent");
      return;
    }
  } catch {}
  holds.add("consent");
  discard();
  wipe();
};

document.addEventListener("sentifyd:consent", ({ detail }) => {
  decisions = { ...decisions, ...detail };
  update();
});
// Consent may have changed in another tab, or before a return to this page.
addEventListener("storage", update);
addEventListener("pageshow", update);
document.dispatchEvent(new Event("sentifyd:consent-wanted"));
