// A button in place of the avatar: no third party is asked for anything until somebody uses it.
import { discard, holds, isAsked, isClosed, stored } from "./core.js";

const host = document.createElement("div");
const root = host.attachShadow({ mode: "open" });
const sheet = new CSSStyleSheet();
let settings, isKnown;
let isBusy = false;

host.dataset.sentifydLauncher = "";
sheet.replaceSync(`
:host { position: fixed; inset: auto 16px 16px auto; z-index: 1040; font: 16px/1.4 system-ui, sans-serif; }
:host([hidden]) { display: none; }
button, p { border: 2px solid Canvas; border-radius: 28px; box-shadow: 0 2px 10px #0006; }
button { display: block; margin: 8px 0 0 auto; padding: 12px; color: var(--text-color-primary-bg, #011f28); background: var(--primary-color, #00bfdb); }
button:focus-visible { outline: 3px solid CanvasText; }
svg { display: block; width: 28px; fill: currentColor; }
p { max-width: 256px; margin: 0; padding: 8px 16px; color: CanvasText; background: Canvas; }
p:empty { display: none; }`);
root.adoptedStyleSheets = [sheet];
root.innerHTML = `<p role="status"></p><button><svg viewBox="0 0 24 24" aria-hidden="true"><path d="M4 3h16v14h-8l-6 5v-5H4z"/></svg></button>`;
const [status, button] = root.children;

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
  const hadFocus = document.activeElement === host;
  draw(false, "");
  if (!hadFocus) return;
  // The button is gone, and the keyboard would begin at the top of the page again.
  element.tabIndex = -1;
  element.focus();
});

document.addEventListener("sentifyd:error", () => {
  if (!settings) return;
  stored(false);
  holds.add("load");
  discard();
  draw(false, settings.launcher.failed);
});

export default (current) => {
  settings = current;
  if (settings) {
    const { label, lang, style } = settings.launcher;
    button.ariaLabel = button.title = label;
    host.lang = lang;
    host.style.cssText = style;
    host.isConnected || document.body.append(host);
    // An open conversation goes on when the next page is loaded.
    if (!isKnown && !isAsked && !stored()) holds.add("load");
    isKnown = true;
  }
  draw(isBusy, status.textContent);
};
