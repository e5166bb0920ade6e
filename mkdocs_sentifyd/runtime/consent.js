// Nothing before the visitor agrees.
import { discard, holds, update } from "./core.js";
import { wipe } from "./opening.js";

let name = "";
/** @type {Choices} */
let told = {};

/** @type {Part} */
export default (settings) => {
  name = settings?.consent ?? name;
  try {
    // Material and Zensical know; other sites tell.
    if (told[name] ?? window.__md_get?.("__consent")?.[name]) {
      holds.delete("consent");
      return;
    }
  } catch {}
  holds.add("consent");
  discard();
  wipe();
};

document.addEventListener("sentifyd:consent", ({ detail }) => {
  told = { ...told, ...detail };
  update();
});
// Withdrawn elsewhere.
addEventListener("storage", update);
addEventListener("pageshow", update);
document.dispatchEvent(new Event("sentifyd:consent-wanted"));
