// What visitors see and use: the conversation in a panel, and the button that opens it.
class Panel {
  #host;
  /** What gives the element a role and a name: a page may focus it. */
  #named;
  #root;
  #question;
  /** @type {PanelEvents} */
  #events;
  #texts = TEXTS.en;
  /** @type {State} */
  #state = "idle";
  /** @type {Problem | null} */
  #problem = null;
  /** @type {Issued | null} */
  #issued = null;
  /** Where the focus was before it came into the panel. @type {HTMLElement | null} */
  #origin = null;
  #isFloating = true;
  #mouthTimer = 0;

  /** @param {HTMLElement} host @param {PanelEvents} events */
  constructor(host, events) {
    this.#host = host;
    this.#events = events;
    // The realtime component uses attributes.
    this.#named = IS_REALTIME ? host : host.attachInternals();
    this.#named.role = IS_REALTIME ? "region" : "group";
    this.#root = host.attachShadow({ mode: "open" });
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    this.#root.adoptedStyleSheets = [sheet];
    this.#root.innerHTML = MARKUP;
    this.#question = new Question(this.#root, this.#$("input"));
    this.#$(".launcher").addEventListener("click", () => this.#toggle(!this.isOpen));
    this.#$(".close").addEventListener("click", () => this.#toggle(false));
    this.#$(".retry").addEventListener("click", () => events.retry());
    this.#$(".frame").addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
      // While a visitor composes a character, Escape belongs to the input method.
      if (event.key === "Escape" && !event.isComposing && this.#isFloating && this.isOpen) this.#toggle(false);
    });
    this.#$(".panel").addEventListener("focusin", (/** @type {FocusEvent} */ { relatedTarget: origin }) => {
      if (!this.#$(".panel").contains(origin)) this.#origin = /** @type {HTMLElement | null} */ (origin);
    });
    this.#$("form").addEventListener("submit", (/** @type {Event} */ event) => {
      event.preventDefault();
      this.#say();
    });
  }

  /** @param {string} selector @returns {any} of the kind that the markup has there */
  #$(selector) { return this.#root.querySelector(selector); }

  /** @param {string} selector @returns {NodeListOf<HTMLElement>} */
  #all(selector) { return this.#root.querySelectorAll(selector); }

  get isOpen() { return !this.#$(".panel").hidden; }

  /** @param {boolean} open */
  #toggle(open) {
    if (open) this.#origin = this.#$(".launcher");
    this.setOpen(open);
    this.#events.toggled(open);
    if (open) this.#$("input").focus();
  }

  /** @param {boolean} open */
  setOpen(open) {
    const panel = this.#$(".panel");
    const hadFocus = panel.contains(this.#root.activeElement);
    if (!open) this.#question.decide(false);
    panel.hidden = !open;
    this.#$(".launcher").setAttribute("aria-expanded", String(open));
    if (open || !hadFocus) return;
    this.#origin?.focus();
    // It may be hidden, disabled or removed by now.
    if (!this.#origin?.matches(":focus")) this.#$(".launcher").focus();
  }

  /** Float at the corner of the window, or stand within the page. @param {boolean} floating */
  setFloating(floating) {
    this.#isFloating = floating;
    this.#host.toggleAttribute("data-floating", floating);
  }

  /** Apply the attributes for brand, appearance and language. */
  applyAttributes() {
    const host = this.#host;
    this.#translate(supportedLanguage(host.getAttribute("ui-language")));
    this.#$(".legal").replaceChildren(
      .../** @type {const} */ (["terms", "privacy"]).filter((name) => host.hasAttribute(`${name}-href`)).map((name) => {
        const link = document.createElement("a");
        link.href = host.getAttribute(`${name}-href`) ?? "";
        link.textContent = this.#texts[name];
        return link;
      }),
    );
    const logo = this.#$(".logo");
    logo.hidden = !host.hasAttribute("brand-logo");
    if (!logo.hidden) logo.src = host.getAttribute("brand-logo");
    /** @param {string} name */
    const pixels = (name) => (host.hasAttribute(name) ? `${Number(host.getAttribute(name))}px` : "");
    const panel = this.#$(".panel");
    panel.style.borderRadius = pixels("corner-radius");
    panel.style.height = pixels("chatbot-height");
    const stage = this.#$(".stage").style;
    stage.background = host.getAttribute("avatar-background") ?? "";
    stage.width = pixels("canvas-width");
    stage.height = pixels("canvas-height") || "160px";
    host.toggleAttribute(
      "data-staged",
      ["avatar-background", "canvas-width", "canvas-height"].some((name) => host.hasAttribute(name)),
    );
  }

  /** @param {string} language */
  #translate(language) {
    const texts = TEXTS[language];
    this.#texts = texts;
    const frame = this.#$(".frame");
    frame.lang = language;
    frame.dir = language === "ar" ? "rtl" : "ltr";
    for (const element of this.#all("[data-text]")) element.textContent = texts[element.dataset.text ?? ""];
    for (const element of this.#all("[data-label]")) element.ariaLabel = texts[element.dataset.label ?? ""];
    this.#named.ariaLabel = texts.launcher;
    this.#$("input").placeholder = texts.placeholder;
    this.#$(".retry").textContent = texts[IS_REALTIME ? "connect" : "retry"];
    this.#showState();
    this.#showIssued();
  }

  /** @param {State} state @param {Problem | null} problem */
  setState(state, problem) {
    this.#state = state;
    this.#problem = problem;
    this.#showState();
    const retry = this.#$(".retry");
    if (this.#root.activeElement === retry) this.#$("input").focus();
    retry.hidden = state !== "error" && !(IS_REALTIME && state === "idle");
    // Not `disabled`, which would remove the focus at every refresh.
    this.#$("form button").setAttribute("aria-disabled", String(state !== "connected"));
  }

  #showState() {
    const problem = this.#problem;
    this.#$(".status").textContent = this.#state === "error" ? "" : this.#texts[this.#state];
    this.#$(".error").textContent = problem ? fillText(this.#texts[problem.text], problem.values) : "";
  }

  /** @param {Issued} issued */
  showIssued(issued) {
    this.#issued = issued;
    this.#showIssued();
  }

  #showIssued() {
    const texts = this.#texts;
    const name = this.#issued?.parameters.name ?? texts.avatar;
    this.#$("#name").textContent = this.#host.getAttribute("brand-name") ?? name;
    if (!this.#issued) return;
    const { claims: { exp = 0, jti = "" }, refreshes, parameters: { language = "en", voice = "" } } = this.#issued;
    const time = new Date(exp * 1000).toLocaleTimeString(this.#$(".frame").lang);
    const rows = [
      [texts.token, fillText(texts.validity, { id: jti.slice(0, 8), time })],
      [texts.refreshes, fillText(texts.count, { count: refreshes })],
      [texts.parameters, fillText(texts.voice, { language, voice })],
    ];
    this.#$(".parameters").replaceChildren(
      ...rows.flatMap(([term, text]) => {
        const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
        dt.textContent = term;
        dd.textContent = text;
        return [dt, dd];
      }),
    );
    this.#$(".log").lang = language;
  }

  /**
   * Let the visitor decide on an action.
   * @param {DescribedAction} action
   * @param {unknown} input
   */
  ask(action, input) {
    if (!this.isOpen) this.setOpen(true);
    return this.#question.ask(fillText(this.#texts.question, action), input);
  }

  refuse() { this.#question.decide(false); }

  #say() {
    const input = this.#$("input");
    const text = input.value.trim();
    if (text && this.#state === "connected") {
      this.#events.say(text);
      input.value = "";
    }
  }

  /** @param {Line[]} lines */
  showAll(lines) {
    this.#$(".log").replaceChildren();
    lines.forEach((line) => this.show(line));
  }

  /** @param {Line} line */
  show(line) {
    const log = this.#$(".log");
    const elements = lineElements(line, (event) => this.#events.followed(event));
    log.append(...elements);
    // Scroll to the new line, but keep its beginning visible.
    log.scrollTop += elements[0].getBoundingClientRect().top - log.getBoundingClientRect().top;
  }

  /** Move the mouth. @param {number} seconds */
  talk(seconds) {
    clearTimeout(this.#mouthTimer);
    this.#host.toggleAttribute("data-talking", seconds > 0);
    if (seconds > 0) this.#mouthTimer = setTimeout(() => this.talk(0), seconds * 1000);
  }
}
