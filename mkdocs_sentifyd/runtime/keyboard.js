// Hides keys that are typed into the avatar from the theme.
let shortcut = "";

/** @param {KeyboardEvent} event */
function listen(event) {
  const { altKey, code, ctrlKey, key, metaKey, repeat, shiftKey, target, type } = event;
  // With Alt, `key` may be a special character.
  const pressed = String(altKey ? code.replace(/^Key|^Digit/, "") : key).toLowerCase();
  if ([+ctrlKey, +altKey, +shiftKey, +metaKey, pressed].join() === shortcut) {
    event.preventDefault();
    if (type === "keydown" && !repeat) window.sentifydDocs.toggle();
  } else if (!ctrlKey && !metaKey && key !== "Escape" && target.closest("sentifyd-bot,sentifyd-realtime")) {
    event.stopPropagation();
  }
}

// Runs before the listeners of themes, on `document` and `window`.
for (const type of ["keydown", "keypress", "keyup"]) document.documentElement.addEventListener(type, listen);

/** @type {Part} */
export default (settings) => {
  shortcut = settings?.shortcut ?? "";
};
