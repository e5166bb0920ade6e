// Nothing before the visitor agrees, and nothing left when they no longer do.
import { discard, holds, isAsked, stored, update } from "./core.js";

let name, told;

export default (settings) => {
  name = settings?.consent ?? name;
  try {
    // Material and Zensical know; other sites tell.
    if ((told ?? window.__md_get?.("__consent"))?.[name]) {
      if (holds.delete("consent") && isAsked) stored(true);
      return;
    }
    for (const key in { ...sessionStorage }) {
      if (/^(showChatbot|authData|conversationData)_/.test(key)) sessionStorage.removeItem(key);
    }
  } catch {
    // No storage.
  }
  holds.add("consent");
  discard();
};

document.addEventListener("sentifyd:consent", ({ detail }) => {
  told = detail;
  update();
});
// In another tab, or before the way back to this page.
addEventListener("storage", update);
addEventListener("pageshow", update);
document.dispatchEvent(new Event("sentifyd:consent-wanted"));
