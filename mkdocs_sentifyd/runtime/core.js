// One avatar for a whole visit. Each page tells in <meta name="sentifyd"> what its avatar is; instant
// navigation replaces that element, and leaves this script and the end of the body as they are.

/** What the page tells; null on a page without an avatar. */
export let settings = null;

/** Whether the visitor, or a script of the site, has asked for the avatar. */
export let isAsked = false;

/** Whether it was sent away for good. */
export let isClosed = false;

/** Why it may not come yet. */
export const holds = new Set();

const parts = new Map();
const loaders = new Map();
// What is made here is upgraded where it is put, as an element in HTML is.
const workshop = document.implementation.createHTMLDocument("");
const sheet = new CSSStyleSheet();
let element = null;
let identity;
let isShown = false;
// As last written: other attributes are the component's own.
let written = {};

/** Tell it in an event, and in a hook for style sheets. */
export function tell(what, detail) {
  document.documentElement.dataset.sentifyd = what;
  document.dispatchEvent(new CustomEvent(`sentifyd:${what}`, { detail }));
}

export function fail(reason, message) {
  console.error(`sentifyd: ${message}`);
  tell("error", { reason, message });
}

/** Make the page as it tells, however often. */
export function update() {
  const meta = document.querySelector("meta[name=sentifyd]");
  settings = meta && JSON.parse(meta.content);
  settings?.parts.forEach(add);
  parts.forEach((part) => part(settings));
  if (settings && !isClosed && !holds.size) show();
  else setShown(false);
}

function add(name) {
  if (parts.has(name)) return;
  parts.set(name, () => {});
  holds.add(name);
  import(`./${name}.js`).then((part) => {
    parts.set(name, part.default);
    holds.delete(name);
    update();
  });
}

function show() {
  const { attributes, element: name } = settings;
  if (loaders.get(name) !== true) return load(settings);
  if (settings.identity !== identity) discard();
  identity = settings.identity;
  element ??= workshop.createElement(name);
  for (const key in written) if (!(key in attributes)) element.removeAttribute(key);
  for (const key in attributes) {
    if (attributes[key] === written[key]) continue;
    // Content-Security-Policy may forbid the attribute, not the property.
    if (key === "style") element.style.cssText = attributes.style;
    else element.setAttribute(key, attributes[key]);
  }
  written = attributes;
  const place = document.querySelector("[data-sentifyd-place]") ?? document.body;
  if (element.parentNode !== place) place.append(element);
  setShown(true);
}

function load({ element: name, loader }) {
  if (loaders.has(name)) return;
  loaders.set(name, false);
  const arrived = () =>
    customElements.whenDefined(name).then(() => {
      loaders.set(name, true);
      tell("loaded");
      update();
    });
  // Without a loader the page's author has one.
  if (!loader || customElements.get(name)) return arrived();
  const script = document.createElement("script");
  script.onload = arrived;
  script.onerror = () => {
    loaders.delete(name);
    script.remove();
    fail("loader", `${loader.src} cannot be loaded`);
  };
  for (const key in loader) script.setAttribute(key, loader[key]);
  document.body.append(script);
}

function setShown(wanted) {
  if (element) element.hidden = !wanted;
  if (isShown === wanted) return;
  isShown = wanted;
  tell(wanted ? "shown" : "hidden", { element });
}

/** Take the element away; the next page that wants one gets a new one. */
export function discard() {
  setShown(false);
  element?.remove();
  element = null;
  written = {};
}

const isFloating = () => settings.attributes.toggler !== "false";

/** Whether the avatar is open, where the component keeps it; a browser may block all storage. */
export function stored(value) {
  try {
    const key = `showChatbot_${settings.avatar}`;
    if (value !== undefined) sessionStorage[key] = value;
    return sessionStorage[key] === "true";
  } catch {
    return false;
  }
}

function setOpen(wanted) {
  if (!settings) return;
  const isOther = isFloating() && stored() !== stored(wanted);
  if (wanted || !isFloating()) isClosed = !wanted;
  // The component reads it when it is connected, and knows no other way.
  if (isOther) element?.remove();
  if (wanted) {
    isAsked = true;
    holds.delete("load");
  }
  update();
}

const early = window.sentifydDocs;
const docs = (window.sentifydDocs = {
  open: () => setOpen(true),
  close: () => setOpen(false),
  toggle: () => setOpen(!isShown || (isFloating() && !stored())),
  destroy() {
    isClosed = true;
    discard();
    update();
  },
  push: (name) => docs[name](),
});

sheet.replaceSync(`sentifyd-bot[hidden], sentifyd-realtime[hidden] { display: none !important }
@media print { sentifyd-bot, sentifyd-realtime, [data-sentifyd-launcher] { display: none !important } }`);
document.adoptedStyleSheets.push(sheet);
update();
// Material and Zensical announce every page.
window.document$?.subscribe(update);
early?.forEach(docs.push);
