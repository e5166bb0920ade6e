// Opens and closes the component. components.py describes how.
/** @type {Settings} */
let page;
let key = "";
// The last requested state: the storage may be blocked or full.
/** @type {Asked} */
let last = {};

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
  if (isOpen() === wanted) return false;
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

// A new element starts with the stored state.
export function forget() {
  last = {};
}

export function wipe() {
  try {
    for (const name in { ...sessionStorage }) {
      if (page.stored.some((prefix) => name.startsWith(prefix))) sessionStorage.removeItem(name);
    }
  } catch {}
}
