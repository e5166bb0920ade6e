// Nothing before the visitor agrees.
import { discard, holds, isAsked, stored, update } from "./core.js";

let name;
let told = {};

export default (settings) => {
  name = settings?.consent ?? name;
  try {
    // Material and Zensical know; other sites tell.
    if (told[name] ?? window.__md_get?.("__consent")?.[name]) {
      if (holds.delete("consent") && isAsked) stored(true);
      return;
    }
    for (const key in { ...sessionStorage }) {
      if (/^(showChatbot|authData|conversationData)_/.test(key)) sessionStorage.removeItem(key);
    }
  } catch {}
  holds.add("consent");
  discard();
};

document.addEventListener("sentifyd:consent", ({ detail }) => {
  told = { ...told, ...detail };
  update();
});
// Withdrawn elsewhere.
addEventListener("storage", update);
addEventListener("pageshow", update);
document.dispatchEvent(new Event("sentifyd:consent-wanted"));
