// Opens, closes and ends the component. components.py describes how.
/** @type {Settings} */
let page;
let key = "";
// The last requested state: the storage may be blocked or full.
/** @type {Asked} */
let last = {};
let isWanted = false;
// The element's requests for tokens.
/** @type {Requests} */
let requests;
// Set until it is connected, or has stopped asking.
let timer = 0;
// Stays hidden in the page until then, because a removed element connects all the same.
/** @type {HTMLElement | null} */
export let leaving = null;
let mustWipe = false;

/** @param {Settings} settings */
export function configure(settings) {
  page = settings;
  key = page.opening.storage + page.avatar;
}

function read() {
  try {
    return sessionStorage[key];
  } catch {}
}

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {}
}

/** @param {string} text */
function isOpenIn(text) {
  const { field } = page.opening;
  return (field ? parse(text)?.[field] : parse(text)) === true;
}

export function isOpen() {
  const text = read();
  return last.key === key && last.text === text ? last.isOpen : isOpenIn(text);
}

// Returns whether a new element must replace this one, which reads the storage only once.
/** @type {SetOpen} */
export function setOpen(element, wanted) {
  const { field, toggle } = page.opening;
  isWanted = wanted;
  if (isOpen() === wanted) return false;
  // The realtime component forgets what it is asked before it has read the storage.
  if (element?.hasUpdated === false) {
    setTimeout(() => setOpen(element, isWanted), 100);
    return false;
  }
  const before = read();
  const canToggle = typeof element?.[toggle] === "function";
  if (canToggle) {
    element[toggle]();
    // The stored state was wrong if the component has now stored the opposite.
    if (read() !== before && isOpenIn(read()) !== wanted) element[toggle]();
  } else {
    try {
      sessionStorage[key] = JSON.stringify(field ? { ...parse(before), [field]: wanted } : wanted);
    } catch {}
  }
  if (element) last = { key, text: read(), isOpen: wanted };
  return !canToggle && isOpenIn(read()) === wanted;
}

/** @type {Begin} */
export function begin(settle) {
  const { ending, endpoint } = page;
  requests = { ending, endpoint, settle, refusals: 0 };
  if (ending) wait(ending.longest);
}

/** @type {Count} */
export function count(url, isRefused) {
  if (!requests?.ending || url !== requests.endpoint) return;
  const { pauses, silence, connecting } = requests.ending;
  requests.refusals = isRefused ? requests.refusals + 1 : 0;
  wait(!isRefused ? connecting : pauses.includes(requests.refusals) ? 0 : silence);
}

/** @param {number} seconds */
function wait(seconds) {
  clearTimeout(timer);
  timer = setTimeout(() => {
    timer = 0;
    if (leaving) {
      // If the theme removed it earlier, it has connected since.
      if (!leaving.isConnected) document.body.append(leaving);
      end(leaving);
    }
    requests.settle(requests.refusals > 0);
  }, seconds * 1000);
}

/** @param {HTMLElement} element */
export function end(element) {
  // A new element starts with the stored state.
  last = {};
  leaving = element;
  if (timer) return;
  element.remove();
  leaving = null;
  if (mustWipe) wipe();
}

export function wipe() {
  mustWipe = !!leaving;
  try {
    for (const name in { ...sessionStorage }) {
      if (page.stored.some((prefix) => name.startsWith(prefix))) sessionStorage.removeItem(name);
    }
  } catch {}
}
