// A button in place of the avatar.
import { discard, holds, isAsked, isClosed, stored } from "./core.js";

const host = document.createElement("div");
host.dataset.sentifydLauncher = "";
host.innerHTML = "<p role=status dir=auto></p><button></button>";
const [status, button] = host.children;
let settings, isKnown;
let isBusy = false;

function draw(busy, message) {
  isBusy = busy;
  host.hidden = !settings || isClosed || !(busy || (holds.has("load") && holds.size < 2));
  button.ariaExpanded = busy;
  status.textContent = message;
}

button.onclick = () => {
  if (isBusy) return;
  draw(true, settings.launcher.loading);
  window.sentifydDocs.open();
};

document.addEventListener("sentifyd:shown", ({ detail: { element } }) => {
  const hadFocus = document.activeElement === button;
  draw(false, "");
  if (!hadFocus) return;
  // The button is gone.
  element.tabIndex = -1;
  // Keys pass by all that is in such an element.
  element.onblur = () => element.removeAttribute("tabindex");
  element.focus();
});

document.addEventListener("sentifyd:error", () => {
  if (!settings) return;
  const hadFocus = document.activeElement?.matches("sentifyd-bot,sentifyd-realtime");
  stored(false);
  holds.add("load");
  discard();
  draw(false, settings.launcher.failed);
  if (hadFocus) button.focus();
});

export default (current) => {
  settings = current;
  if (settings) {
    const { label, lang, style } = settings.launcher;
    button.ariaLabel = button.title = label;
    host.lang = lang;
    host.style.cssText = style;
    if (!host.isConnected) document.body.append(host);
    // An open conversation goes on after a page load.
    if (!isKnown && !isAsked && !stored()) holds.add("load");
    isKnown = true;
  }
  draw(isBusy && !holds.has("consent"), status.textContent);
};
