// Nothing of a third party before the visitor agrees, and nothing left when they no longer do.
import { discard, holds, update } from "./core.js";

let name, told;

export default (settings) => {
  name = settings?.consent ?? name;
  try {
    // Material and Zensical know it; other sites tell.
    if ((told ?? window.__md_get?.("__consent"))?.[name]) return holds.delete("consent");
    for (const key in { ...sessionStorage }) {
      if (/^(showChatbot|authData|conversationData)_/.test(key)) sessionStorage.removeItem(key);
    }
  } catch {
    // All storage is blocked.
  }
  holds.add("consent");
  discard();
};

document.addEventListener("sentifyd:consent", ({ detail }) => {
  told = detail;
  update();
});
// In another tab, or while this page waited for the visitor to come back.
addEventListener("storage", update);
addEventListener("pageshow", update);
document.dispatchEvent(new Event("sentifyd:consent-wanted"));
