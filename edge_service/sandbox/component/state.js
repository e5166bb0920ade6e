// Stores whether the component is open; each of the two components has its own key and format.
const IS_REALTIME = ELEMENT === "sentifyd-realtime";
const STATE_KEY = IS_REALTIME ? "chatbotState" : "showChatbot";

/** @param {string} key */
function readOpen(key) {
  const state = storage.read(key);
  return (IS_REALTIME ? state?.isVisible : state) === true;
}

/** @type {WriteOpen} */
function writeOpen(key, open, enableCaptions) {
  storage.write(key, IS_REALTIME ? { isVisible: open, mode: "AVATAR", enableCaptions } : open);
}
