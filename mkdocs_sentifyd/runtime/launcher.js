// Shows a button instead of the avatar.
import { discard, fail, holds, isClosed, isOpen, isOpenRequested } from "./core.js";
import * as opening from "./opening.js";

export const host = document.createElement("div");
host.dataset.sentifydLauncher = "";
host.innerHTML = "<p role=status dir=auto></p><button></button>";
export const [status, button] = host.children;
/** @type {Settings | null} */
let settings = null;
let isInitialised = false;
let isLoading = false;

/** @type {Draw} */
function draw(loading, message) {
  isLoading = loading;
  const isWaiting = holds.size > 0 && holds.size === +holds.has("load") + +holds.has("consent");
  host.hidden = !settings || isClosed || !(loading || isWaiting);
  button.ariaExpanded = `${loading}`;
  status.textContent = message;
}

button.onclick = () => {
  if (!isLoading) window.sentifydDocs.open();
};

// Keeps the button until the avatar is open and visible.
/** @type {Finish} */
function finish(element, tries = 50, frames = 4) {
  if (!isLoading) return;
  if (!isOpen() || !element.getClientRects().length) {
    if (tries) setTimeout(finish, 100, element, tries - 1);
    else fail("open", `<${element.localName}> does not open`);
    return;
  }
  // The component draws its panel a few frames later.
  if (frames) {
    requestAnimationFrame(() => finish(element, tries, frames - 1));
    return;
  }
  const hadFocus = document.activeElement === button;
  draw(false, "");
  if (!hadFocus) return;
  // The button is hidden now. With -1, WebKit's Tab key would skip everything inside the element.
  element.tabIndex = 0;
  // Otherwise the element itself stays a stop of the Tab key.
  element.onblur = () => element.removeAttribute("tabindex");
  element.focus();
}

document.addEventListener("sentifyd:shown", ({ detail: { element } }) => {
  if (isLoading) finish(element);
  else draw(false, "");
});

document.addEventListener("sentifyd:error", () => {
  if (!settings) return;
  const hadFocus = document.activeElement?.matches("sentifyd-bot,sentifyd-realtime");
  holds.add("load");
  discard();
  opening.setOpen(null, false);
  draw(false, settings.launcher.failed);
  if (hadFocus) button.focus();
});

/** @type {Part} */
export default (current) => {
  settings = current;
  if (settings) {
    const { label, lang, style } = settings.launcher;
    button.ariaLabel = button.title = label;
    host.lang = lang;
    host.style.cssText = style;
    if (!host.isConnected) document.body.append(host);
    // An open conversation continues after a page load.
    if (!isInitialised && !isOpenRequested && !opening.isOpen()) holds.add("load");
    isInitialised = true;
  }
  // A shortcut or a script can also request the avatar.
  const isPending = current && (isOpenRequested ? !isOpen() : isLoading && isOpen());
  if (isPending && !holds.has("consent")) draw(true, current.launcher.loading);
  else draw(false, isLoading || isOpenRequested ? "" : status.textContent);
};
