// A stand-in for Sentifyd's web component: it has the same interface to the page and the token
// endpoint, and shows that it is a sandbox.
const OPEN_PAGE = "docs.open_page";

class SentifydSandbox extends HTMLElement {
  /** @type {Panel | null} */
  #panel = null;
  #connection = new (IS_REALTIME ? RealtimeConnection : Connection)(this);
  #flags = new Flags(this);
  #isOpen = false;
  #hasUpdated = false;
  /** @type {Line[]} */
  #conversation = [];
  #sendActions = () => this.#connection.send({ actions: describeActions() });

  static observedAttributes = [
    "ui-language", "brand-name", "brand-logo", "terms-href", "privacy-href", "avatar-background",
    "corner-radius", "canvas-width", "canvas-height", "chatbot-height", "toggler", "compact", "overlay",
  ];

  /** @param {string} name @param {string | null} _ @param {string | null} value */
  attributeChangedCallback(name, _, value) {
    if (Object.hasOwn(FLAGS, name)) {
      this.#flags.read(/** @type {Flag} */ (name), value);
      if (this.#panel) this.#applyFlags();
      if (this.#panel && IS_REALTIME) this.#arrange();
    } else if (this.#panel) {
      this.#applyAttributes();
    }
  }

  connectedCallback() {
    actionListeners.add(this.#sendActions);
    if (!this.#panel) this.#build();
    else if (IS_REALTIME) return this.#connection.start();
    this.#applyAttributes();
    this.#conversation = storage.read(this.key("conversationData")) ?? [];
    this.#panel?.showAll(this.#conversation);
    if (IS_REALTIME) this.#startRealtime();
    else this.#readOpen();
    this.#connection.start();
  }

  disconnectedCallback() {
    actionListeners.delete(this.#sendActions);
    this.#panel?.refuse();
    this.#panel?.talk(0);
    this.#connection.stop();
  }

  /** @param {string} name */
  #setting(name) {
    return this.getAttribute(name.replace("-", "_")) ?? this.getAttribute(name) ?? "";
  }

  get endpoint() { return this.#setting("token-endpoint"); }

  /** @param {string} name */
  key(name) { return `${name}_${this.#setting("avatar-id")}`; }

  #build() {
    this.#panel = new Panel(this, {
      toggled: (open) => this.#storeOpen(open),
      retry: () => this.#connection.connect(),
      say: (text) => this.#say(text),
      followed: (event) => this.#openLink(event),
    });
  }

  /** Some of it happens before `append` returns, some later in the same task, some in a task of its own. */
  #startRealtime() {
    this.#arrange();
    queueMicrotask(() => this.#flags.write());
    setTimeout(() => this.#readOpen());
  }

  #applyAttributes() {
    this.#panel?.applyAttributes();
    this.#applyFlags();
    if (IS_REALTIME) this.#flags.applyStyle();
  }

  #readOpen() {
    this.#hasUpdated = true;
    this.#isOpen = readOpen(this.key(STATE_KEY));
    this.#arrange();
  }

  /** @param {boolean} open */
  #storeOpen(open) {
    this.#isOpen = open;
    writeOpen(this.key(STATE_KEY), open, (this.getAttribute("enable-captions") ?? "false") !== "false");
  }

  #applyFlags() {
    for (const name of /** @type {const} */ (["compact", "overlay"])) {
      this.toggleAttribute(`data-${name}`, this.#flags.get(name));
    }
  }

  #arrange() {
    const isFloating = this.#flags.get("toggler");
    this.#panel?.setFloating(isFloating);
    this.#panel?.setOpen(!isFloating || this.#isOpen);
  }

  static {
    // Sentifyd's published wrapper of the realtime component calls this method.
    if (IS_REALTIME) {
      SentifydSandbox.prototype._handleToggleChatbot = function () {
        this.#storeOpen(!this.#isOpen);
        this.#arrange();
      };
      Object.defineProperty(SentifydSandbox.prototype, "hasUpdated", { get() { return this.#hasUpdated; } });
    }
  }

  /** @param {State} state @param {Problem | null} [problem] */
  setState(state, problem = null) {
    this.dataset.state = state;
    this.#panel?.setState(state, problem);
  }

  /** @param {Issued} issued */
  issued(issued) { this.#panel?.showIssued(issued); }

  disconnected() { this.#panel?.refuse(); }

  /** @param {Message} message */
  receive(message) {
    if (message.type === "ready") this.#greet(message.greeting);
    else if (message.type === "greeting") this.#greet(message.text);
    else if (message.type === "message") this.#add("avatar", message.text, message.links);
    else this.#run(message);
  }

  /** @param {Message & { type: "call" }} message */
  async #run({ call, name, arguments: input }) {
    const { socket } = this.#connection;
    const outcome = await runAction(
      name, input, this.#context(), (action) => this.#panel?.ask(action, input) ?? false,
    );
    // A new connection does not know this call.
    if (socket === this.#connection.socket) this.#connection.send({ call, ...outcome });
  }

  #context() {
    return { avatarId: this.#setting("avatar-id") };
  }

  /** @param {string} text */
  #say(text) {
    this.#connection.send({ text });
    this.#add("visitor", text);
  }

  /**
   * The greeting is the first line, and follows the page's actions until a visitor has spoken.
   * @param {string} text
   */
  #greet(text) {
    if (this.#conversation.length > 1 || this.#conversation[0]?.[1] === text) return;
    this.#conversation = [];
    this.#panel?.showAll([]);
    this.#add("avatar", text);
  }

  /** @param {Line} line */
  #add(...line) {
    const [who, text] = line;
    this.#conversation.push(line);
    storage.write(this.key("conversationData"), this.#conversation);
    this.#panel?.show(line);
    if (who === "avatar") this.#panel?.talk(Math.min(4, text.length / 20));
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
}

// Without session storage, the realtime component does not start.
if (!IS_REALTIME || !storage.isBlocked()) {
  window[SDK] = Object.freeze({ registerAction });
  window.dispatchEvent(new Event("sentifyd:action-sdk-ready"));
  customElements.define(ELEMENT, SentifydSandbox);
}
