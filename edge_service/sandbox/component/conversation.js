// One line of the conversation: text and links, never HTML.
/** @type {LineElements} */
function lineElements([who, text, links = []], openLink) {
  const line = document.createElement("p");
  line.textContent = text;
  /** @type {HTMLElement[]} */
  const elements = [line];
  const items = links.filter(({ url }) => isWebAddress(url)).map((link) => linkItem(link, openLink));
  if (items.length) {
    const list = document.createElement("ul");
    list.append(...items);
    elements.push(list);
  }
  elements.forEach((element) => {
    element.className = who;
    // Visitors and sites may use another language than the panel.
    element.dir = "auto";
  });
  return elements;
}

/** @type {LinkItem} */
function linkItem({ text, url, excerpt }, openLink) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = url;
  link.textContent = text;
  link.addEventListener("click", (event) => {
    // With a modifier key, the browser opens another tab or downloads the page.
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    openLink(event);
  });
  item.append(link);
  if (excerpt) {
    const small = document.createElement("small");
    small.textContent = excerpt;
    item.append(small);
  }
  return item;
}

/** @param {string} url */
function isWebAddress(url) {
  try {
    return ["http:", "https:"].includes(new URL(url).protocol);
  } catch {
    return false;
  }
}
