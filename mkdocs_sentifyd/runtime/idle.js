// Waits until the browser is idle.
import { holds, isAsked, update } from "./core.js";

const release = () => {
  holds.delete("load");
  update();
};
const wait = () => (window.requestIdleCallback ?? setTimeout)(release);

if (!isAsked) {
  holds.add("load");
  if (document.readyState === "complete") wait();
  else addEventListener("load", wait);
}

export default () => {};
