const HEADINGS = "h1,h2,h3,h4,h5,h6";

function parse(html = document.documentElement.outerHTML) {
  const page = new DOMParser().parseFromString(html, "text/html");
  const main = page.querySelector("[role=main],article") ?? page.querySelector("main") ?? page.body;
  main.querySelectorAll("nav,button,script,style,.headerlink,.linenos").forEach((node) => node.remove());
  return { page, main };
}

/** @type {Read} */
export function read({ href, hash }, html) {
  const { page, main } = parse(html);
  /** @type {Edit} */
  const edit = (names, change) => main.querySelectorAll(names).forEach(change);
  main.querySelectorAll("tr").forEach((node) => {
    node.textContent = [...node.cells].map((cell) => cell.textContent).join(" | ");
  });
  edit("li", (node) => node.prepend("- "));
  edit(HEADINGS, (node) => node.prepend(`${"#".repeat(+node.localName[1])} `));
  // A minified page has no line breaks.
  edit(`p,pre,tr,li,${HEADINGS}`, (node) => node.prepend("\n"));
  page.getElementById(decodeURIComponent(hash.slice(1)))?.prepend("\0");
  const text = main.textContent.split("\0").slice(-1)[0].replace(/\n\s*\n/g, "\n\n").trim();
  return { title: page.title, url: href, text: text.slice(0, 20000), truncated: text.length > 20000 };
}

export function outline() {
  const { page, main } = parse();
  const headings = [...main.querySelectorAll(HEADINGS)].slice(0, 100);
  return {
    title: page.title,
    url: location.href,
    headings: headings.map(({ id, localName, textContent }) => ({
      level: +localName[1],
      text: textContent.trim(),
      url: new URL(`#${id}`, location.href).href,
    })),
    language: document.documentElement.lang,
    selection: `${getSelection()}`.slice(0, 2000),
  };
}
