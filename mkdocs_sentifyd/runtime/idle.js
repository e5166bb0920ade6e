// Delays the avatar until the browser is idle.
import { holds, isOpenRequested, update } from "./core.js";

const release = () => {
  holds.delete("load");
  update();
};
const wait = () => (window.requestIdleCallback ?? setTimeout)(release);

if (!isOpenRequested) {
  holds.add("load");
  if (document.readyState === "complete") wait();
  else addEventListener("load", wait);
}

export default () => {};
