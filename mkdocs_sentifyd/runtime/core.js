// One avatar for a whole visit: instant navigation leaves the end of the body as it is.
import * as opening from "./opening.js";

/** @type {Settings | null} */
export let settings = null;
// Whether the avatar has to open as soon as it is there.
export let isAsked = false;
export let isClosed = false;
// Why it may not come yet.
export const holds = new Set();

const parts = new Map();
const loaders = new Map();
// Elements from here are upgraded in the page, as those of HTML are.
const workshop = document.implementation.createHTMLDocument("");
const early = window.sentifydDocs;
/** @type {HTMLElement | null} */
let element = null;
let isShown = false;
// Whether the endpoint gave this element its tokens, once that is known.
/** @type {boolean | null} */
let isServed = null;
/** @type {Attributes} */
let written = {};
let identity = "";

/** @type {Tell} */
function tell(what, detail) {
  document.dispatchEvent(new CustomEvent(`sentifyd:${what}`, { detail }));
  document.documentElement.dataset.sentifyd = what;
}

/** @type {Fail} */
export function fail(reason, message) {
  isAsked = false;
  console.error(`sentifyd: ${message}`);
  tell("error", { reason, message });
}

export function update() {
  const meta = document.querySelector("meta[name=sentifyd]");
  settings = meta && JSON.parse(meta.content);
  if (settings) opening.configure(settings);
  settings?.parts.forEach(add);
  parts.forEach((part) => part(settings));
  if (settings && !isClosed && !holds.size) show(settings);
  else setShown(false);
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
  // A living element that is moved or put back may never connect again, and a theme removes what
  // stands in the text of the last page. Another place gets a new one, for one request of tokens.
  if (settings.identity !== identity || element?.parentNode !== place) discard();
  identity = settings.identity;
  if (!loaders.get(name)) return load(settings);
  element ??= workshop.createElement(name);
  for (const key in { ...written, ...attributes }) {
    const value = attributes[key];
    if (value === written[key]) continue;
    // A Content-Security-Policy may forbid the attribute.
    if (key === "style") element.style.cssText = value ?? "";
    else if (value === undefined) element.removeAttribute(key);
    else element.setAttribute(key, value);
  }
  written = attributes;
  const isOpening = isAsked && isFloating();
  if (!element.isConnected) {
    if (isOpening) opening.setOpen(null, true);
    place.append(element);
  }
  if (isOpening) opening.setOpen(element, true);
  setShown(true);
  isAsked = false;
}

/** @param {Settings} settings */
function load({ element: name, loader }) {
  if (loaders.has(name)) return;
  loaders.set(name, false);
  const onload = () => {
    setTimeout(() => customElements.get(name) || onerror(), 5000);
    customElements.whenDefined(name).then(() => {
      loaders.set(name, true);
      tell("loaded");
      update();
    });
  };
  const onerror = () => {
    loaders.delete(name);
    if (settings?.element === name) fail("loader", `${loader?.src} brings no <${name}>`);
  };
  // The page's author has one.
  if (!loader || customElements.get(name)) onload();
  else document.body.append(Object.assign(document.createElement("script"), loader, { onload, onerror }));
}

/** @param {boolean} wanted */
function setShown(wanted) {
  if (element) element.hidden = !wanted;
  if (isShown === wanted) return;
  isShown = wanted;
  tell(wanted ? "shown" : "hidden", { element });
}

export function discard() {
  setShown(false);
  element?.remove();
  element = null;
  written = {};
  isServed = null;
  opening.forget();
}

const isFloating = () => settings?.attributes.toggler !== "false";

export const isOpen = () => isShown && (!isFloating() || opening.isOpen());

/** @param {boolean} wanted */
function setOpen(wanted) {
  if (!settings) return;
  // A component that was refused its tokens may never connect again.
  if (wanted && isServed === false && !isOpen()) discard();
  if (isFloating() && opening.setOpen(element, wanted)) discard();
  if (wanted || !isFloating()) isClosed = !wanted;
  if (wanted) holds.delete("load");
  isAsked = wanted;
  update();
}

window.sentifydDocs = {
  open: () => setOpen(true),
  close: () => setOpen(false),
  toggle: () => setOpen(!isOpen()),
  destroy() {
    isClosed = true;
    isAsked = false;
    discard();
    opening.wipe();
    update();
  },
  push: (name) => window.sentifydDocs[name]?.(),
};

// The component hides failures.
new PerformanceObserver((list) => {
  for (const { name, responseStatus: status } of list.getEntries()) {
    // Later there is a conversation, and a token in the address.
    if (name !== settings?.endpoint || isServed !== null || !element) continue;
    isServed = status > 199 && status < 300;
    if (!isServed) fail("endpoint", `${name} answers ${status || "nothing"}`);
  }
}).observe({ type: "resource" });

update();
// Material and Zensical announce every page.
window.document$?.subscribe(update);
early?.forEach?.(window.sentifydDocs.push);
