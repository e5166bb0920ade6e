// Holds the avatar back until the visitor agrees, and takes it away when they no longer do.
import { discard, holds, update } from "./core.js";

let name, told;

export default (settings) => {
  name = settings?.consent ?? name;
  try {
    // Material and Zensical know what the visitor agreed to, other sites tell it.
    if ((told ?? window.__md_get?.("__consent"))?.[name]) return holds.delete("consent");
    for (const key in sessionStorage) {
      if (/^(showChatbot|authData|conversationData)_/.test(key)) sessionStorage.removeItem(key);
    }
  } catch {
    // All storage is blocked: nobody can have agreed, and there is nothing to remove.
  }
  holds.add("consent");
  discard();
};

document.addEventListener("sentifyd:consent", ({ detail }) => {
  told = detail;
  update();
});
// It may be withdrawn in another tab, or while this page is kept for the way back.
addEventListener("storage", update);
addEventListener("pageshow", update);
document.dispatchEvent(new Event("sentifyd:consent-wanted"));
