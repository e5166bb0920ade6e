// What is typed into the avatar is not for the theme.
let shortcut = "";

/** @param {KeyboardEvent} event */
function listen(event) {
  const { altKey, code, ctrlKey, key, metaKey, repeat, shiftKey, target, type } = event;
  // With Alt, keys write something else.
  const pressed = String(altKey ? code.replace(/^Key|^Digit/, "") : key).toLowerCase();
  if ([+ctrlKey, +altKey, +shiftKey, +metaKey, pressed].join() === shortcut) {
    event.preventDefault();
    if (type === "keydown" && !repeat) window.sentifydDocs.toggle();
  } else if (!ctrlKey && !metaKey && key !== "Escape" && target.closest("sentifyd-bot,sentifyd-realtime")) {
    event.stopPropagation();
  }
}

// Themes listen further out.
for (const type of ["keydown", "keypress", "keyup"]) document.documentElement.addEventListener(type, listen);

/** @type {Part} */
export default (settings) => {
  shortcut = settings?.shortcut ?? "";
};
