// Keeps from the theme's shortcuts what is typed into the avatar, and listens for the site's own.
let shortcut;

function listen(event) {
  const { altKey, code, ctrlKey, key, metaKey, repeat, shiftKey, target } = event;
  // With Alt, a key may write another character than the one printed on it.
  const pressed = (altKey ? code.replace(/^Key|^Digit/, "") : key).toLowerCase();
  if (`${[ctrlKey, altKey, shiftKey, metaKey].map(Number)},${pressed}` === shortcut && !repeat) {
    event.preventDefault();
    if (event.type === "keydown") window.sentifydDocs.toggle();
  }
  if (!ctrlKey && !metaKey && key !== "Escape" && target.closest("sentifyd-bot,sentifyd-realtime")) {
    event.stopPropagation();
  }
}

// The component has seen them by now, and themes listen further out.
for (const type of ["keydown", "keypress", "keyup"]) document.documentElement.addEventListener(type, listen);

export default (settings) => {
  shortcut = settings?.shortcut;
};
