// A button in place of the avatar.
import { discard, fail, holds, isAsked, isClosed, isOpen } from "./core.js";
import * as opening from "./opening.js";

const host = document.createElement("div");
host.dataset.sentifydLauncher = "";
host.innerHTML = "<p role=status dir=auto></p><button></button>";
const [status, button] = host.children;
/** @type {Settings | null} */
let settings = null;
let isKnown = false;
let isBusy = false;

/** @type {Draw} */
function draw(busy, message) {
  isBusy = busy;
  host.hidden = !settings || isClosed || !(busy || (holds.has("load") && holds.size < 2));
  button.ariaExpanded = `${busy}`;
  status.textContent = message;
}

button.onclick = () => {
  if (!isBusy) window.sentifydDocs.open();
};

// The button stays until the avatar is open and in sight.
/** @type {Finish} */
function finish(element, tries = 50) {
  if (!isBusy) return;
  if (!isOpen() || !element.getClientRects().length) {
    if (tries) setTimeout(finish, 100, element, tries - 1);
    else fail("open", `<${element.localName}> does not open`);
    return;
  }
  const hadFocus = document.activeElement === button;
  draw(false, "");
  if (!hadFocus) return;
  // The button is gone.
  element.tabIndex = -1;
  // Keys pass by all that is in such an element.
  element.onblur = () => element.removeAttribute("tabindex");
  element.focus();
}

document.addEventListener("sentifyd:shown", ({ detail: { element } }) => {
  if (isBusy) finish(element);
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
    // An open conversation goes on after a page load.
    if (!isKnown && !isAsked && !opening.isOpen()) holds.add("load");
    isKnown = true;
  }
  // A shortcut or a script may have asked as well.
  const isLoading = current && (isAsked ? !isOpen() : isBusy && isOpen());
  if (isLoading && !holds.has("consent")) draw(true, current.launcher.loading);
  else draw(false, status.textContent);
};
