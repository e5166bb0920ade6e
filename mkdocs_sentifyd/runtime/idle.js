// Waits until the page is loaded and the browser idle.
import { holds, isAsked, update } from "./core.js";

const release = () => {
  holds.delete("load");
  update();
};
// Safari has no idle callbacks.
const wait = () => (window.requestIdleCallback ?? setTimeout)(release);

if (!isAsked) {
  holds.add("load");
  if (document.readyState === "complete") wait();
  else addEventListener("load", wait);
}

export default () => {};
