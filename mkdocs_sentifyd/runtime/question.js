// Asks for consent beside the launcher.
import { answer, hasAgreed } from "./consent.js";
import { cancel, holds, isOpenRequested, update } from "./core.js";
import { button, host } from "./launcher.js";

host.insertAdjacentHTML(
  "afterbegin",
  "<div role=dialog tabindex=-1 dir=auto hidden><p></p><a></a><button></button><button></button></div>",
);
const [box] = host.children;
const [, link, allow, refuse] = box.children;

// The launcher passes the focus on to the avatar.
allow.onclick = () => {
  button.focus();
  answer(true);
};

refuse.onclick = () => {
  button.focus();
  cancel();
  update();
};

host.onkeydown = ({ key }) => {
  if (key === "Escape" && !box.hidden) refuse.click();
};

/** @type {Part} */
export default (settings) => {
  // A page without an avatar ends the question.
  if (!settings && !hasAgreed) cancel();
  const wasHidden = box.hidden;
  box.hidden = hasAgreed || !isOpenRequested;
  if (!hasAgreed && box.hidden) holds.add("load");
  if (!settings || box.hidden) return;
  const { lang, texts, url } = settings.question;
  texts.forEach((text, index) => {
    box.children[index].textContent = text;
  });
  Object.assign(box, { lang, ariaLabel: texts[0] });
  Object.assign(link, { href: url, hidden: !url });
  button.ariaExpanded = "true";
  if (wasHidden) box.focus();
};
