// Keeps one avatar for a whole visit, because instant navigation does not replace the end of the body.
import * as opening from "./opening.js";

/** @type {Settings | null} */
export let settings = null;
// Whether the avatar must open as soon as it has loaded.
export let isOpenRequested = false;
export let isClosed = false;
// Reasons why the avatar must not load yet.
export const holds = new Set();

const parts = new Map();
const loaders = new Map();
// Its elements start only when they are inserted into the page, as in static HTML.
const inertDocument = document.implementation.createHTMLDocument("");
const early = window.sentifydDocs;
/** @type {HTMLElement | null} */
let element = null;
let isShown = false;
let wasOpen = false;
let timer = 0;
// Whether this element received tokens, or null.
/** @type {boolean | null} */
let hasTokens = null;
/** @type {Attributes} */
let currentAttributes = {};
let identity = "";

/** @type {Dispatch} */
function dispatch(name, detail) {
  document.dispatchEvent(new CustomEvent(`sentifyd:${name}`, { detail }));
  document.documentElement.dataset.sentifyd = name;
}

/** @type {Fail} */
export function fail(reason, message) {
  cancel();
  console.error(`sentifyd: ${message}`);
  dispatch("error", { reason, message });
}

// Drops a request to open.
export function cancel() {
  isOpenRequested = false;
}

export function update() {
  const meta = document.querySelector("meta[name=sentifyd]");
  settings = meta && JSON.parse(meta.content);
  if (settings) {
    // As the browser's performance entries have it.
    if (settings.endpoint) settings.endpoint = new URL(settings.endpoint, document.baseURI).href;
    opening.configure(settings);
  }
  settings?.parts.forEach(add);
  parts.forEach((part) => part(settings));
  if (settings && !isClosed && !holds.size) show(settings);
  else setShown(false);
  check();
}

/** @param {string} name */
function add(name) {
  if (parts.has(name)) return;
  parts.set(name, () => {});
  holds.add(name);
  import(`./${name}.js`).then(
    (part) => {
      parts.set(name, part.default);
      holds.delete(name);
      update();
    },
    ({ message }) => fail("runtime", message),
  );
}

/** @param {Settings} settings */
function show(settings) {
  const { attributes, element: name } = settings;
  const place = (settings.place && document.querySelector("[data-sentifyd-place]")) || document.body;
  // A moved element may never connect again, and themes remove elements in the last page's text. So
  // another place gets a new element.
  if (settings.identity !== identity || element?.parentNode !== place) discard();
  identity = settings.identity;
  if (!loaders.get(name)) return load(settings);
  if (opening.leaving) return;
  if (!element) {
    element = inertDocument.createElement(name);
    opening.begin(settle);
  }
  for (const key in { ...currentAttributes, ...attributes }) {
    const value = attributes[key];
    if (value === currentAttributes[key]) continue;
    if (key === "style") setStyle(element.style, value);
    else if (value === undefined) element.removeAttribute(key);
    else element.setAttribute(key, value);
  }
  currentAttributes = attributes;
  const isOpening = isOpenRequested && isFloating();
  if (!element.isConnected) {
    if (isOpening) opening.setOpen(null, true);
    place.append(element);
  }
  if (isOpening) opening.setOpen(element, true);
  setShown(true);
  isOpenRequested = false;
}

// The component has own styles, and a Content-Security-Policy may forbid the attribute.
/** @type {SetStyle} */
function setStyle(style, wanted = "") {
  const old = inertDocument.body.style;
  for (const name of old) style.removeProperty(name);
  old.cssText = wanted;
  style.cssText += wanted;
}

/** @param {Settings} settings */
function load({ element: name, loader }) {
  if (loaders.has(name)) return;
  loaders.set(name, false);
  const onload = () => {
    setTimeout(() => customElements.get(name) || onerror(), 5000);
    customElements.whenDefined(name).then(() => {
      loaders.set(name, true);
      dispatch("loaded");
      update();
    });
  };
  const onerror = () => {
    loaders.delete(name);
    if (settings?.element === name) fail("loader", `${loader?.src} does not define <${name}>`);
  };
  // The page already has a loader.
  if (!loader || customElements.get(name)) onload();
  else document.body.append(Object.assign(document.createElement("script"), loader, { onload, onerror }));
}

/** @param {boolean} wanted */
function setShown(wanted) {
  if (element) element.hidden = !wanted;
  if (isShown === wanted) return;
  isShown = wanted;
  dispatch(wanted ? "shown" : "hidden", { element });
}

export function discard() {
  setShown(false);
  if (element) opening.end(element);
  element = null;
  currentAttributes = {};
  hasTokens = null;
}

const isFloating = () => settings?.attributes.toggler !== "false";

export const isOpen = () => isShown && (!isFloating() || opening.isOpen());

// Reports what the visitor sees. An open component may close by itself.
function check() {
  clearTimeout(timer);
  if (isOpen() !== wasOpen) {
    wasOpen = !wasOpen;
    document.dispatchEvent(new CustomEvent(`sentifyd:${wasOpen ? "open" : "close"}`));
  }
  if (wasOpen) timer = setTimeout(check, 400);
}
// The component stops some clicks from bubbling.
addEventListener("click", () => setTimeout(check), true);

/** @type {Settle} */
function settle(isRefused) {
  // It would ask again. An open one has a button for that.
  if (element && isRefused && !isOpen()) {
    isClosed = true;
    discard();
  }
  update();
}

/** @param {boolean} wanted */
function setOpen(wanted) {
  if (!settings) return;
  // A component without tokens may never request them again.
  if (wanted && hasTokens === false && !isOpen() && !settings.ending) discard();
  if (isFloating() && opening.setOpen(element, wanted)) discard();
  if (wanted || !isFloating()) isClosed = !wanted;
  if (wanted) holds.delete("load");
  isOpenRequested = wanted;
  update();
}

window.sentifydDocs = {
  open: () => setOpen(true),
  close: () => setOpen(false),
  toggle: () => setOpen(!isOpen()),
  destroy() {
    isClosed = true;
    isOpenRequested = false;
    discard();
    opening.wipe();
    update();
  },
  push: (name) => window.sentifydDocs[name]?.(),
};

// The component does not report failed token requests.
new PerformanceObserver((list) => {
  for (const { name, responseStatus: status } of list.getEntries()) {
    // Without a status, this is false.
    const isRefused = status < 200 || status > 299;
    opening.count(name, isRefused);
    // Later requests refresh the tokens of a conversation.
    if (status === undefined || name !== settings?.endpoint || hasTokens !== null || !element) continue;
    hasTokens = !isRefused;
    if (isRefused) fail("endpoint", `${name} answers ${status || "nothing"}`);
  }
}).observe({ type: "resource" });

if (!("responseStatus" in PerformanceResourceTiming.prototype)) {
  // WebKit reports no status, and no failed connection. But a new element soon stores its tokens.
  document.addEventListener("sentifyd:shown", ({ detail }) => {
    setTimeout(() => {
      if (detail.element !== element || hasTokens !== null || !settings?.endpoint) return;
      try {
        hasTokens = settings.tokens + settings.avatar in sessionStorage;
      } catch {}
      if (hasTokens === false) fail("endpoint", `${settings.endpoint} gives no tokens`);
    }, 15000);
  });
}

update();
// Material and Zensical report every page change here.
window.document$?.subscribe(update);
early?.forEach?.(window.sentifydDocs.push);
