/** @type {Index} */
let index = null;

/** @param {string} text */
const fold = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").replace(/[^\p{L}\p{N}]/gu, " ").toLowerCase();
/** @param {string} html */
const plain = (html) => new DOMParser().parseFromString(html, "text/html").body.textContent;

/** @param {string} root */
async function load(root) {
  for (const path of ["search/search_index.json", "search.json"]) {
    const answer = await fetch(root + path);
    if (!answer.ok) continue;
    /** @type {SearchIndex} */
    const { config, docs, items } = await answer.json();
    // MkDocs stores plain text, and first sections twice.
    const read = config.indexing ? String : plain;
    /** @type {Titles} */
    const titles = {};
    return (docs ?? items)
      .map((entry) => {
        const [page, anchor] = entry.location.split("#");
        const heading = read(entry.title);
        titles[page] ??= heading;
        const title = titles[page];
        const text = ` ${read(entry.text)} `.replace(/[\s¶]+/g, " ");
        const words = fold(text + `${title} ${heading} `.repeat(2));
        return { page, title, section: anchor && heading, url: root + entry.location, text, words };
      })
      .filter(({ title, section }) => read === plain || section !== title);
  }
  throw new Error("this site has no search index");
}

// BM25, but longer words count more.
/** @type {Search} */
export async function search(root, { query, limit = 5 }) {
  index ??= load(root);
  index.catch(() => {
    index = null;
  });
  const found = (await index).map((entry) => ({ ...entry, score: 0 }));
  const terms = new Set(fold(query).match(/[\u3040-\u9fff]|[^ \u3040-\u9fff]+/g));
  const finders = [...terms].sort((one, other) => other.length - one.length).map((term) => {
    const isSign = term > "\u3040";
    const stem = term.replace(/(?<=.{6})\D*$|(?<=...)e?s?$/, "");
    const finder = new RegExp(isSign ? term : ` ${stem}`, "g");
    const counts = found.map(({ words }) => (words.match(finder)?.length ?? 0) / (1 + words.length / 1000));
    const weight = (isSign ? 4 : stem.length) ** 3 * Math.log(1 + found.length / (1 + counts.filter(Boolean).length));
    counts.forEach((count, at) => {
      found[at].score += (weight * count) / (count + 2);
    });
    return finder;
  });
  const taken = new Map();
  const results = found
    .sort((one, other) => other.score - one.score)
    .filter(({ page, score }) => score && taken.set(page, (taken.get(page) ?? 0) + 1).get(page) < 3)
    .slice(0, limit)
    .map(({ title, section, url, text, words }) => {
      const at = finders.map((finder) => words.search(finder)).find((at) => text[at]) ?? 0;
      const excerpt = text.slice(Math.max(0, at - 60), at + 140).replace(/^\S{0,30} | \S{0,30}$/g, "");
      return { title, section, url, excerpt };
    });
  return { results };
}
