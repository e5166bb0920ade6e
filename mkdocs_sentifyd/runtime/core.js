// One avatar for a whole visit: instant navigation leaves the end of the body as it is.

export let settings = null;
export let isAsked = false;
export let isClosed = false;
// Why it may not come yet.
export const holds = new Set();

const parts = new Map();
const loaders = new Map();
// Elements from here are upgraded in the page, as those of HTML are.
const workshop = document.implementation.createHTMLDocument("");
const early = window.sentifydDocs;
let element = null;
let isShown = false;
let isAnswered = false;
let written = {};
let identity;

function tell(what, detail) {
  document.dispatchEvent(new CustomEvent(`sentifyd:${what}`, { detail }));
  document.documentElement.dataset.sentifyd = what;
}

function fail(reason, message) {
  console.error(`sentifyd: ${message}`);
  tell("error", { reason, message });
}

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
  import(`./${name}.js`).then(
    (part) => {
      parts.set(name, part.default);
      holds.delete(name);
      update();
    },
    ({ message }) => fail("runtime", message),
  );
}

function show() {
  const { attributes, element: name } = settings;
  if (settings.identity !== identity) discard();
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
  // The component reads these when it is connected.
  if (written.toggler !== attributes.toggler) element.remove();
  written = attributes;
  const place = (settings.place && document.querySelector("[data-sentifyd-place]")) || document.body;
  if (element.parentNode !== place) place.append(element);
  setShown(true);
}

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
  isAnswered = false;
}

const isFloating = () => settings.attributes.toggler !== "false";

// Where the component keeps whether it is open.
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
  if (isFloating() && stored() !== stored(wanted)) element?.remove();
  if (wanted || !isFloating()) isClosed = !wanted;
  if (wanted) holds.delete("load");
  isAsked = wanted;
  update();
}

const docs = (window.sentifydDocs = {
  open: () => setOpen(true),
  close: () => setOpen(false),
  toggle: () => setOpen(!isShown || (isFloating() && !stored())),
  destroy() {
    isClosed = true;
    discard();
    update();
  },
  push: (name) => docs[name]?.(),
});

// The component hides failures.
new PerformanceObserver((list) => {
  for (const { name, responseStatus: status } of list.getEntries()) {
    // Later there is a conversation, and a token in the address.
    if (name !== settings?.endpoint || isAnswered || !element) continue;
    isAnswered = true;
    if (status < 200 || status > 299) fail("endpoint", `${name} answers ${status || "nothing"}`);
  }
}).observe({ type: "resource" });

update();
// Material and Zensical announce every page.
window.document$?.subscribe(update);
early?.forEach?.(docs.push);
