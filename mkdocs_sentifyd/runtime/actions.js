// Page actions.
const root = new URL("../../../", import.meta.url).href;
const registered = new WeakSet();
const text = (maxLength = 2000) => ({
  type: "string",
  minLength: 1,
  maxLength,
  description: `text of 1 to ${maxLength} characters`,
});
const limit = { type: "integer", minimum: 1, maximum: 20, description: "an integer of 1 to 20" };
const url = text();

const actions = [
  action("docs.search", "Search this site", { query: text(200), limit }, ["query"], async (input) => {
    const { search } = await import("./search.js");
    return search(root, input);
  }),
  action("docs.get_page", "Read a page of this site, or the current one", { url }, [], async (input) => {
    const found = locate(input.url ?? location.pathname);
    const { read } = await import("./page_text.js");
    if (found.pathname === location.pathname) return read(found);
    const answer = await request(found);
    return read(new URL(found.hash, answer.url), await answer.text());
  }),
  action("docs.current_page", "What the visitor sees", {}, [], async () => {
    const { outline } = await import("./page_text.js");
    return outline();
  }),
  action("docs.open_page", "Show a page of this site to the visitor", { url }, ["url"], async (input) => {
    const link = document.createElement("a");
    link.href = locate(input.url).href;
    await request(link.href, "HEAD");
    // A click works with instant navigation. The answer must reach the avatar first.
    setTimeout(() => {
      document.body.append(link);
      link.click();
      link.remove();
    });
    return { url: link.href };
  }),
];

/** @type {MakeAction} */
function action(name, description, properties, required, run) {
  return {
    name,
    provider: "mkdocs-sentifyd",
    description,
    inputSchema: { type: "object", properties, required, additionalProperties: false },
    async execute(input = {}) {
      try {
        assert(input?.constructor === Object, "input must be an object");
        for (const key of [...required, ...Object.keys(input)]) check(key, input[key], properties[key]);
        return await run(input);
      } catch (/** @type {any} */ error) {
        throw new Error(`${name}: ${error.message}`);
      }
    },
  };
}

/** @type {Assert} */
function assert(isTrue, message) {
  if (!isTrue) throw new Error(message);
}

/** @type {Check} */
function check(key, value, { maxLength, maximum = maxLength ?? 0, description = "left out" } = {}) {
  const size = maxLength ? typeof value === "string" && value.length : value;
  assert(Number.isInteger(size) && size > 0 && size <= maximum, `${key} must be ${description}`);
}

// Some servers decode slashes, and could leave the site's folder.
/** @param {string} url */
function locate(url, isPage = true) {
  const found = URL.parse(url, root);
  if (!isPage || !found?.href.startsWith(root) || /%2f|%5c/i.test(found.pathname)) {
    throw new Error("url must lead to a page of this site");
  }
  return found;
}

/** @type {Ask} */
async function request(url, method) {
  const answer = await fetch(url, { method, mode: "same-origin" });
  const type = answer.headers.get("content-type") ?? "";
  locate(answer.url, answer.status === 200 && type.startsWith("text/html"));
  return answer;
}

/** @type {Offer} */
async function offer(sdk, method, adapt) {
  if (!sdk?.[method] || registered.has(sdk)) return;
  registered.add(sdk);
  try {
    await Promise.all(actions.map((action) => sdk[method](adapt?.(action) ?? action)));
  } catch (/** @type {any} */ error) {
    console.error(`sentifyd: ${error.message}`);
  }
}

function register() {
  offer(window.Sentifyd, "registerAction");
  offer(window.SentifydRealtime, "registerAction");
  offer(document.modelContext ?? navigator.modelContext, "registerTool", ({ execute, ...action }) => ({
    ...action,
    annotations: { readOnlyHint: action.name !== "docs.open_page" },
    execute: async (input) => ({ content: [{ type: "text", text: JSON.stringify(await execute(input)) }] }),
  }));
}

/** @type {Part} */
export default (settings) => {
  if (!settings) return;
  addEventListener("sentifyd:action-sdk-ready", register);
  register();
};
