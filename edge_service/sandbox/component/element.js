// A stand-in for Sentifyd's web component: it has the same interface to the page and the token
// endpoint, and shows that it is a sandbox.
const TOKEN_CLOSED = 4401;
const MAX_RETRIES = 5;
const ASK_SECONDS = 45;
const OPEN_PAGE = "docs.open_page";

/** @param {string} token */
function claims(token) {
  try {
    const payload = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
    return JSON.parse(atob(payload));
  } catch {
    return {};
  }
}

class SentifydSandbox extends HTMLElement {
  #visit = 0;
  /** @type {WebSocket | null} */
  #socket = null;
  #retries = 0;
  #refreshes = 0;
  /** @type {Set<number>} */
  #timers = new Set();
  /** @type {Auth | null} */
  #auth = null;
  /** @type {Line[]} */
  #conversation = [];
  /** @type {((allowed: boolean) => void) | null} */
  #decided = null;
  #isOpen = false;
  #sendActions = () => {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#send({ actions: describeActions() });
  };

  static observedAttributes = [
    "ui-language", "brand-name", "brand-logo", "terms-href", "privacy-href", "avatar-background",
    "corner-radius", "canvas-width", "canvas-height", "chatbot-height", "toggler",
  ];

  /** @param {string} name */
  attributeChangedCallback(name) {
    if (!this.shadowRoot) return;
    if (name !== "toggler") this.#applyAttributes();
    else if (IS_REALTIME) this.#float();
  }

  connectedCallback() {
    if (IS_REALTIME && this.shadowRoot) {
      // Once moved, the realtime component connects again only when the visitor asks for it.
      actionListeners.add(this.#sendActions);
      return;
    }
    if (!this.shadowRoot) this.#build();
    this.#applyAttributes();
    this.#isOpen = readOpen(this.#stateKey);
    this.#float();
    // The realtime component requests tokens on every page, and ignores stored ones.
    this.#auth = IS_REALTIME ? null : storage.read(this.#key("authData"));
    // A restarted server on another port does not accept tokens of the old one.
    if (this.#auth?.tokenEndpoint !== this.#setting("token-endpoint")) this.#auth = null;
    this.#conversation = storage.read(this.#key("conversationData")) ?? [];
    this.#$(".log").replaceChildren();
    this.#conversation.forEach((line) => this.#show(line));
    actionListeners.add(this.#sendActions);
    this.#connect("connecting");
  }

  disconnectedCallback() {
    this.#visit += 1;
    this.#timers.forEach(clearTimeout);
    this.#timers.clear();
    actionListeners.delete(this.#sendActions);
    this.#decide(false);
    this.#socket?.close();
    this.#socket = null;
    this.#retries = 0;
    this.removeAttribute("data-talking");
    this.#setState("idle");
  }

  /** @param {string} selector @returns {any} of the kind that the markup has there */
  #$(selector) { return this.shadowRoot?.querySelector(selector); }

  /** @param {string} name */
  #setting(name) {
    return this.getAttribute(name.replace("-", "_")) ?? this.getAttribute(name) ?? "";
  }

  get #stateKey() { return this.#key(STATE_KEY); }

  /** @param {string} name */
  #key(name) { return `${name}_${this.#setting("avatar-id")}`; }

  #build() {
    const root = this.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    root.innerHTML = MARKUP;
    this.#$(".launcher").addEventListener("click", () => this.#setOpen(this.#$(".panel").hidden, true));
    if (IS_REALTIME) this.#$(".retry").textContent = "Connect";
    this.#$(".close").addEventListener("click", () => this.#setOpen(false, true));
    this.#$(".retry").addEventListener("click", () => this.#connect("connecting"));
    this.#$(".allow").addEventListener("click", () => this.#decide(true));
    this.#$(".refuse").addEventListener("click", () => this.#decide(false));
    this.#$(".panel").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Escape" && this.hasAttribute("data-floating")) this.#setOpen(false, true);
    });
    this.#$("form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#sendMessage();
    });
  }

  /** Apply the attributes for brand, appearance and language. */
  #applyAttributes() {
    const words = WORDS[this.getAttribute("ui-language") ?? "en"] ?? WORDS.en;
    const panel = this.#$(".panel");
    panel.lang = this.getAttribute("ui-language") ?? "en";
    panel.dir = panel.lang === "ar" ? "rtl" : "ltr";
    this.#$("input").placeholder = words.placeholder;
    this.#$("form button").textContent = words.send;
    this.#$(".legal").replaceChildren(
      .../** @type {const} */ (["terms", "privacy"]).filter((name) => this.hasAttribute(`${name}-href`)).map((name) => {
        const link = document.createElement("a");
        link.href = this.getAttribute(`${name}-href`) ?? "";
        link.textContent = words[name];
        return link;
      }),
    );
    const logo = this.#$(".logo");
    logo.hidden = !this.hasAttribute("brand-logo");
    if (!logo.hidden) logo.src = this.getAttribute("brand-logo");
    this.#showName();
    /** @param {string} name */
    const pixels = (name) => (this.hasAttribute(name) ? `${Number(this.getAttribute(name))}px` : "");
    panel.style.borderRadius = pixels("corner-radius");
    panel.style.height = pixels("chatbot-height");
    const stage = this.#$(".stage").style;
    stage.background = this.getAttribute("avatar-background") ?? "";
    stage.width = pixels("canvas-width");
    stage.height = pixels("canvas-height") || "160px";
    this.toggleAttribute(
      "data-staged",
      ["avatar-background", "canvas-width", "canvas-height"].some((name) => this.hasAttribute(name)),
    );
  }

  #showName() {
    this.#$("#name").textContent = this.getAttribute("brand-name") ?? this.#auth?.avatarParameters.name ?? "Avatar";
  }

  /** @param {boolean} open */
  #setOpen(open, byVisitor = false) {
    const launcher = this.#$(".launcher");
    this.#$(".panel").hidden = !open;
    launcher.setAttribute("aria-expanded", String(open));
    if (!open) this.#decide(false);
    if (!byVisitor) return;
    this.#storeOpen(open);
    (open ? this.#$("input") : launcher).focus();
  }

  /** @param {boolean} open */
  #storeOpen(open) {
    this.#isOpen = open;
    writeOpen(this.#stateKey, open);
  }

  /** Float at the corner of the window, or stand open within the page. */
  #float() {
    const isFloating = this.getAttribute("toggler") !== "false";
    this.toggleAttribute("data-floating", isFloating);
    this.#setOpen(!isFloating || this.#isOpen);
  }

  static {
    // Sentifyd's published wrapper of the realtime component calls this method.
    if (IS_REALTIME) {
      SentifydSandbox.prototype._handleToggleChatbot = function () {
        this.#storeOpen(!this.#isOpen);
        this.#float();
      };
    }
  }

  /** @param {State} state */
  #setState(state, error = "") {
    this.dataset.state = state;
    this.#$(".status").textContent = STATUS[state];
    this.#$(".error").textContent = error;
    const retry = this.#$(".retry");
    if (this.shadowRoot?.activeElement === retry) this.#$("input").focus();
    retry.hidden = state !== "error" && !(IS_REALTIME && state === "idle");
    // Not `disabled`, which would remove the focus at every refresh.
    this.#$("form button").setAttribute("aria-disabled", String(state !== "connected"));
  }

  /** @param {number} seconds @param {() => void} task */
  #later(seconds, task) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      task();
    }, seconds * 1000);
    this.#timers.add(timer);
  }

  /** @param {State} state */
  async #connect(state) {
    const visit = ++this.#visit;
    this.#setState(state);
    try {
      if (!this.#auth || !(claims(this.#auth.token).exp * 1000 > Date.now())) {
        const auth = await this.#requestTokens(this.#auth?.refreshToken);
        if (visit !== this.#visit) return;
        this.#auth = auth;
        storage.write(this.#key("authData"), auth);
      }
      this.#open(visit, this.#auth);
    } catch (/** @type {any} */ error) {
      if (visit !== this.#visit) return;
      this.#forget();
      this.#setState("error", `The avatar cannot connect: ${error.message}`);
    }
  }

  /** @param {string} [refreshToken] @returns {Promise<Auth>} */
  async #requestTokens(refreshToken) {
    const tokenEndpoint = this.#setting("token-endpoint");
    const url = new URL(tokenEndpoint, document.baseURI);
    if (refreshToken) url.searchParams.set("refreshToken", refreshToken);
    let response;
    try {
      response = await fetch(url);
    } catch {
      throw new Error("the token endpoint does not answer, or does not allow this site.");
    }
    if (!response.ok) throw new Error(`the token endpoint answered ${response.status}.`);
    const { tokens, avatarParameters } = await response.json().catch(() => ({}));
    if (!tokens?.accessToken || !avatarParameters) {
      throw new Error("the token endpoint's answer contains no tokens.");
    }
    if (refreshToken) this.#refreshes += 1;
    return { token: tokens.accessToken, refreshToken: tokens.refreshToken, avatarParameters, tokenEndpoint };
  }

  /** @param {number} visit @param {Auth} auth */
  #open(visit, auth) {
    const { token, avatarParameters } = auth;
    this.#showParameters(auth);
    const socket = new WebSocket(avatarParameters.websocket);
    this.#socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ accessToken: token, actions: describeActions() }));
    socket.onmessage = ({ data }) => {
      if (visit === this.#visit) this.#receive(JSON.parse(data));
    };
    socket.onclose = ({ code }) => {
      if (visit !== this.#visit) return;
      this.#socket = null;
      this.#decide(false);
      if (code === TOKEN_CLOSED) {
        if (this.#auth) this.#auth.token = "";
        this.#refresh();
      } else {
        this.#retry();
      }
    };
  }

  #refresh() {
    // Limited, because a new token may be refused at once, which would start an endless loop.
    if (this.#retries++ < MAX_RETRIES) this.#connect("refreshing");
    else this.#giveUp();
  }

  #retry() {
    this.#setState("connecting");
    if (this.#retries < MAX_RETRIES) this.#later(0.5 * 2 ** this.#retries++, () => this.#connect("connecting"));
    else this.#giveUp();
  }

  #giveUp() {
    this.#retries = 0;
    this.#forget();
    this.#setState("error", "The avatar cannot connect: the connection broke several times.");
  }

  #forget() {
    this.#auth = null;
    storage.remove(this.#key("authData"));
  }

  /** @param {object} message */
  #send(message) {
    this.#socket?.send(JSON.stringify(message));
  }

  /** @param {Message} message */
  #receive(message) {
    if (message.type === "ready") {
      this.#retries = 0;
      this.#setState("connected");
      this.#greet(message.greeting);
    } else if (message.type === "greeting") {
      this.#greet(message.text);
    } else if (message.type === "message") {
      this.#add("avatar", message.text, message.links);
    } else if (message.type === "call") {
      this.#run(message);
    }
  }

  /** @param {Message & { type: "call" }} message */
  async #run({ call, name, arguments: input }) {
    const socket = this.#socket;
    const outcome = await runAction(name, input, this.#context(), (action) => this.#ask(action, input));
    // A new connection does not know this call.
    if (socket === this.#socket && socket?.readyState === WebSocket.OPEN) this.#send({ call, ...outcome });
  }

  #context() {
    return { avatarId: this.#setting("avatar-id") };
  }

  /**
   * Let the visitor decide on an action; no answer is a refusal.
   * @param {DescribedAction} action
   * @param {unknown} input
   * @returns {Promise<boolean>}
   */
  #ask({ name, description }, input) {
    this.#decide(false);
    if (this.#$(".panel").hidden) this.#setOpen(true);
    this.#$(".ask").hidden = false;
    this.#$("#question").textContent = `May the avatar use “${name}” on this page? ${description}`;
    this.#$(".input").textContent = JSON.stringify(input);
    // Visitors whose focus is elsewhere on the page keep it; the alert announces the question.
    if (this.shadowRoot?.activeElement) this.#$(".refuse").focus();
    return new Promise((decide) => {
      this.#decided = decide;
      this.#later(ASK_SECONDS, () => {
        if (this.#decided === decide) this.#decide(false);
      });
    });
  }

  /** @param {boolean} allowed */
  #decide(allowed) {
    const ask = this.#$(".ask");
    if (ask.contains(this.shadowRoot?.activeElement)) this.#$("input").focus();
    ask.hidden = true;
    this.#decided?.(allowed);
    this.#decided = null;
  }

  #sendMessage() {
    const input = this.#$("input");
    const text = input.value.trim();
    if (!text || this.dataset.state !== "connected") return;
    this.#send({ text });
    this.#add("visitor", text);
    input.value = "";
  }

  /**
   * The greeting is the first line, and follows the page's actions until a visitor has spoken.
   * @param {string} text
   */
  #greet(text) {
    if (this.#conversation.length > 1 || this.#conversation[0]?.[1] === text) return;
    this.#conversation = [];
    this.#$(".log").replaceChildren();
    this.#add("avatar", text);
  }

  /** @param {Line} line */
  #add(...line) {
    const [who, text] = line;
    this.#conversation.push(line);
    storage.write(this.#key("conversationData"), this.#conversation);
    this.#show(line);
    if (who === "avatar") {
      this.toggleAttribute("data-talking", true);
      this.#later(Math.min(4, text.length / 20), () => this.toggleAttribute("data-talking", false));
    }
  }

  /** @param {Line} line */
  #show(line) {
    const log = this.#$(".log");
    const elements = lineElements(line, (event) => this.#openLink(event));
    log.append(...elements);
    // Scroll to the new line, but keep its beginning visible.
    log.scrollTop += elements[0].getBoundingClientRect().top - log.getBoundingClientRect().top;
  }

  /**
   * Through the page's own action, so that a page which can keep its avatar does so.
   * @param {MouseEvent} event
   */
  async #openLink(event) {
    if (!actions.has(OPEN_PAGE)) return;
    event.preventDefault();
    const url = /** @type {HTMLAnchorElement} */ (event.currentTarget).href;
    // The visitor's click is the permission.
    const outcome = await runAction(OPEN_PAGE, { url }, this.#context(), () => true);
    if (!("result" in outcome)) location.assign(url);
  }

  /** @param {Auth} auth */
  #showParameters({ token, avatarParameters: parameters }) {
    this.#showName();
    const { exp, jti = "" } = claims(token);
    const rows = {
      Token: `${jti.slice(0, 8)}, valid until ${new Date(exp * 1000).toLocaleTimeString()}`,
      Refreshes: `${this.#refreshes} on this page`,
      Parameters: `language ${parameters.language}, voice ${parameters.voice}`,
    };
    this.#$(".parameters").replaceChildren(
      ...Object.entries(rows).flatMap(([term, text]) => {
        const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
        dt.textContent = term;
        dd.textContent = text;
        return [dt, dd];
      }),
    );
  }
}

window[SDK] = Object.freeze({ registerAction });
window.dispatchEvent(new Event("sentifyd:action-sdk-ready"));
customElements.define(ELEMENT, SentifydSandbox);
