// What the tests of all engines observe from inside a page. WebKit cannot inject scripts, so the sites contain it.
window.seen = { connects: 0, events: [], violations: [], late: [] };

const define = CustomElementRegistry.prototype.define;
CustomElementRegistry.prototype.define = function (name, type, options) {
  const connected = type.prototype.connectedCallback;
  if (name.startsWith("sentifyd-")) {
    type.prototype.connectedCallback = function () {
      seen.connects += 1;
      connected.call(this);
    };
  }
  define.call(this, name, type, options);
};
for (const name of ["loaded", "shown", "hidden", "error", "consent-wanted"]) {
  document.addEventListener(`sentifyd:${name}`, ({ detail }) => seen.events.push([name, detail?.reason, detail?.message]));
}
document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI }) => {
  seen.violations.push(`${effectiveDirective} ${blockedURI}`);
});

// The tests end the runtime's longest timer themselves.
const start = window.setTimeout;
window.setTimeout = (task, delay = 0, ...rest) =>
  delay === 15_000 ? seen.late.push(task) : start(task, delay, ...rest);

if (location.search === "?blocked") {
  Object.defineProperty(window, "sessionStorage", {
    get() {
      throw new DOMException("blocked", "SecurityError");
    },
  });
}

// An element that ends is hidden for some seconds.
seen.avatar = () => {
  const found = [...document.querySelectorAll("sentifyd-bot, sentifyd-realtime")];
  return found.find(({ hidden }) => !hidden) ?? null;
};
seen.panel = () => seen.avatar()?.shadowRoot.querySelector(".panel");
seen.isOpen = () => seen.panel()?.hidden === false;
seen.isVisible = (element) => !!element?.getClientRects().length;
seen.state = () => seen.avatar()?.dataset.state;
seen.button = () => document.querySelector("[data-sentifyd-launcher] > button");
seen.link = (text) => [...document.links].find((link) => link.textContent.trim() === text);
seen.title = () => document.querySelector("h1").firstChild.textContent;
seen.attributes = () => Object.fromEntries([...seen.avatar().attributes].map(({ name, value }) => [name, value]));
seen.requests = (url) => performance.getEntriesByName(url).length;
seen.errors = () => seen.events.filter(([name]) => name === "error");
