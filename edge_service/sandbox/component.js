// A stand-in for Sentifyd's web component: it keeps the same contract with the page and the token
// endpoint, and says on its face that it is a sandbox. Served for <sentifyd-realtime> as well, with
// the name in the next line replaced.
(() => {
  const ELEMENT = "sentifyd-bot";
  if (customElements.get(ELEMENT)) return;

  const TOKEN_CLOSED = 4401;
  const MAX_RETRIES = 5;

  const STYLE = `
    :host {
      --_primary: var(--primary-color, #00bfdb);
      --_secondary: var(--secondary-color, #801bea);
      --_on-primary: var(--text-color-primary-bg, #011f28);
      --_on-secondary: var(--text-color-secondary-bg, #ffffff);
      display: block; color: #1b1f24;
      font: 15px/1.45 system-ui, sans-serif; max-width: 360px;
    }
    :host([data-floating]) { position: fixed; right: 16px; bottom: 16px; z-index: 1040; }
    :host([hidden]) { display: none; }
    *, *::before { box-sizing: border-box; }
    button, input { font: inherit; }
    :focus-visible { outline: 3px solid var(--_secondary); outline-offset: 2px; box-shadow: 0 0 0 7px #fff; }
    .launcher {
      display: block; margin-left: auto; width: 64px; height: 64px; padding: 0; border: 0;
      border-radius: 50%; cursor: pointer; background: var(--_primary);
      box-shadow: 0 2px 12px rgb(0 0 0 / 0.3); position: relative;
    }
    .launcher::after {
      content: ""; position: absolute; right: 2.5px; bottom: 2.5px; width: 14.5px; height: 14.5px;
      border-radius: 50%; border: 2px solid #fff; background: #5a636d; color: #fff;
      font: 700 10px/10.5px system-ui, sans-serif;
    }
    :host([data-state="connected"]) .launcher::after { background: #1f9d55; }
    :host([data-state="connecting"]) .launcher::after,
    :host([data-state="refreshing"]) .launcher::after { background: #9a6700; }
    :host([data-state="error"]) .launcher::after { background: #d1242f; content: "!"; }
    :host(:not([data-floating])) .launcher { display: none; }
    .panel {
      width: min(360px, calc(100vw - 32px)); margin-bottom: 12px; overflow: hidden;
      display: flex; flex-direction: column;
      border-radius: 14.5px; background: #fff; border: 1px solid #d0d7de;
      box-shadow: 0 8px 30px rgb(0 0 0 / 0.22);
    }
    .panel[hidden] { display: none; }
    .stage { display: none; overflow: hidden; }
    .stage svg { display: block; width: 100%; height: 100%; }
    .logo { height: 32px; max-width: 96px; }
    .logo[hidden] { display: none; }
    .legal { display: flex; gap: 13px; }
    .legal a { color: inherit; }
    :host([data-staged]) .stage { display: block; }
    :host([data-staged]) header svg { display: none; }
    :host([compact="true"]) header, :host([compact="true"]) footer { display: none; }
    :host([compact="true"]) .log { margin-top: 6.5px; }
    /* What hides the header must not hide what this is. */
    .badge.mark { display: none; margin: 6.5px 13px; width: fit-content; }
    :host(:is([compact="true"], [overlay="true"])) .badge.mark { display: block; }
    /* Frameless: the avatar alone, as large as its host. */
    :host([overlay="true"]) { max-width: none; }
    :host([overlay="true"]) .panel { width: 100%; height: 100%; margin: 0; border: 0; box-shadow: none; background: none; }
    :host([overlay="true"]) :is(header, footer, .log) { display: none; }
    :host([overlay="true"]) .stage { display: block; flex: 1; width: auto; height: auto; }
    :host([overlay="true"][data-floating]) .panel { height: calc(100% - 76px); margin-bottom: 12px; }
    /* A short window keeps header and message field in sight: the conversation gives way. */
    :host([data-floating]) .panel { max-height: calc(100dvh - 108px); }
    .panel > * { flex: none; }
    header {
      display: flex; align-items: center; gap: 11px; padding: 11px 14.5px;
      background: var(--_primary); color: var(--_on-primary);
    }
    header svg { width: 44px; height: 44px; flex: none; }
    .launcher svg { width: 54.5px; height: 54.5px; }
    .title { flex: 1; min-width: 0; }
    .title strong { display: block; }
    .badge {
      display: inline-block; padding: 0 0.5em; border-radius: 1em; font-size: 12px;
      font-weight: 700; background: var(--_secondary); color: var(--_on-secondary);
    }
    .close {
      border: 0; background: none; color: inherit; width: 32px; height: 32px; font-size: 22.5px;
      line-height: 1; cursor: pointer; border-radius: 50%;
    }
    :host(:not([data-floating])) .close { display: none; }
    .log { flex: 1 1 176px; min-height: 40px; height: 176px; overflow-y: auto; padding: 13px; display: grid; gap: 8px; align-content: start; }
    .log p { margin: 0; padding: 6.5px 11px; border-radius: 13px; background: #eef1f4; max-width: 90%; width: fit-content; overflow-wrap: anywhere; }
    .log p.visitor { background: var(--_secondary); color: var(--_on-secondary); margin-left: auto; }
    form { display: flex; gap: 8px; padding: 0 13px 9.5px; }
    input { flex: 1; min-width: 0; padding: 7px 11px; border: 1px solid #8a929b; border-radius: 9.5px; color: inherit; background: #fff; }
    form button, .retry { padding: 7px 14.5px; border: 0; border-radius: 9.5px; background: var(--_secondary); color: var(--_on-secondary); cursor: pointer; }
    form button[aria-disabled="true"] { opacity: 0.55; cursor: default; }
    footer { padding: 8px 14.5px; font-size: 12.5px; color: #4b5560; background: #f6f8fa; border-top: 1px solid #d0d7de; }
    footer dl { display: grid; grid-template-columns: auto 1fr; gap: 0 9.5px; margin: 0; }
    footer dd { margin: 0; overflow-wrap: anywhere; }
    .retry { margin: 6.5px 0; }
    .retry[hidden] { display: none; }
    .mouth { transform-origin: 32px 43px; }
    :host([data-talking]) .mouth { animation: talk 0.24s ease-in-out infinite alternate; }
    @keyframes talk { from { transform: scaleY(0.4); } to { transform: scaleY(1.5); } }
    @media (prefers-reduced-motion: reduce) { :host([data-talking]) .mouth { animation: none; } }
    @media print { :host { display: none; } }
  `;

  const FACE = `
    <svg viewBox="0 0 64 64" aria-hidden="true">
      <circle cx="32" cy="32" r="30" fill="#ffffff"/>
      <circle cx="22" cy="27" r="4" fill="#011f28"/><circle cx="42" cy="27" r="4" fill="#011f28"/>
      <ellipse class="mouth" cx="32" cy="43" rx="10" ry="4" fill="#801bea"/>
    </svg>`;

  const MARKUP = `
    <section class="panel" id="panel" role="region" aria-labelledby="name" hidden>
      <header>${FACE}
        <img class="logo" alt="" hidden>
        <div class="title"><strong id="name">Avatar</strong><span class="badge">Sandbox, not Sentifyd</span></div>
        <button class="close" type="button" aria-label="Close the avatar">×</button>
      </header>
      <div class="stage">${FACE}</div>
      <div class="log" role="log" aria-label="Conversation" tabindex="0"></div>
      <span class="badge mark">Not Sentifyd: a sandbox</span>
      <form>
        <input name="text" maxlength="1000" autocomplete="off" aria-label="Message to the avatar" placeholder="Type a message">
        <button type="submit" aria-disabled="true">Send</button>
      </form>
      <footer>
        <div class="status"></div>
        <div class="error" role="alert"></div>
        <button class="retry" type="button" hidden>Try again</button>
        <dl class="parameters"></dl>
        <div class="legal"></div>
      </footer>
    </section>
    <button class="launcher" type="button" aria-label="Avatar (sandbox)" aria-expanded="false" aria-controls="panel">${FACE}</button>`;

  const STATUS = {
    idle: "Not connected.",
    connecting: "Connecting…",
    connected: "Connected.",
    refreshing: "The token has expired: asking for a new one…",
    error: "",
  };

  const WORDS = {
    en: { placeholder: "Type a message", send: "Send", terms: "Terms", privacy: "Privacy" },
    fr: { placeholder: "Écrivez un message", send: "Envoyer", terms: "Conditions", privacy: "Confidentialité" },
    de: { placeholder: "Nachricht schreiben", send: "Senden", terms: "Nutzungsbedingungen", privacy: "Datenschutz" },
    es: { placeholder: "Escribe un mensaje", send: "Enviar", terms: "Condiciones", privacy: "Privacidad" },
    ar: { placeholder: "اكتب رسالة", send: "إرسال", terms: "الشروط", privacy: "الخصوصية" },
    zh: { placeholder: "输入消息", send: "发送", terms: "条款", privacy: "隐私" },
  };

  // Storage may be blocked altogether; the avatar then forgets at the next page, and nothing breaks.
  const storage = {
    read(key) {
      try { return JSON.parse(sessionStorage.getItem(key)); } catch { return null; }
    },
    write(key, value) {
      try { sessionStorage.setItem(key, JSON.stringify(value)); } catch { /* see above */ }
    },
    remove(key) {
      try { sessionStorage.removeItem(key); } catch { /* see above */ }
    },
  };

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
    #socket = null;
    #retries = 0;
    #refreshes = 0;
    #timers = new Set();
    #auth = null;
    #conversation = [];

    static observedAttributes = [
      "ui-language", "brand-name", "brand-logo", "terms-href", "privacy-href", "avatar-background",
      "corner-radius", "canvas-width", "canvas-height", "chatbot-height",
    ];

    attributeChangedCallback() {
      if (this.shadowRoot) this.#dress();
    }

    connectedCallback() {
      if (!this.shadowRoot) this.#build();
      this.#dress();
      this.toggleAttribute("data-floating", this.getAttribute("toggler") !== "false");
      this.#setOpen(!this.hasAttribute("data-floating") || storage.read(this.#key("showChatbot")) === true);
      this.#auth = storage.read(this.#key("authData"));
      this.#conversation = storage.read(this.#key("conversationData")) ?? [];
      this.#$(".log").replaceChildren();
      this.#conversation.forEach(([who, text]) => this.#show(who, text));
      this.#connect("connecting");
    }

    disconnectedCallback() {
      this.#visit += 1;
      this.#timers.forEach(clearTimeout);
      this.#timers.clear();
      this.#socket?.close();
      this.#socket = null;
      this.#setState("idle");
    }

    #$(selector) { return this.shadowRoot.querySelector(selector); }

    #setting(name) {
      return this.getAttribute(name.replace("-", "_")) ?? this.getAttribute(name) ?? "";
    }

    #key(name) { return `${name}_${this.#setting("avatar-id")}`; }

    #build() {
      const root = this.attachShadow({ mode: "open" });
      const sheet = new CSSStyleSheet();
      sheet.replaceSync(STYLE);
      root.adoptedStyleSheets = [sheet];
      root.innerHTML = MARKUP;
      this.#$(".launcher").addEventListener("click", () => this.#setOpen(this.#$(".panel").hidden, true));
      this.#$(".close").addEventListener("click", () => this.#setOpen(false, true));
      this.#$(".retry").addEventListener("click", () => this.#connect("connecting"));
      this.#$(".panel").addEventListener("keydown", (event) => {
        if (event.key === "Escape" && this.hasAttribute("data-floating")) this.#setOpen(false, true);
      });
      this.#$("form").addEventListener("submit", (event) => {
        event.preventDefault();
        this.#say();
      });
    }

    /** Show what the attributes say of brand, look and language. */
    #dress() {
      const words = WORDS[this.getAttribute("ui-language")] ?? WORDS.en;
      const panel = this.#$(".panel");
      panel.lang = this.getAttribute("ui-language") ?? "en";
      panel.dir = panel.lang === "ar" ? "rtl" : "ltr";
      this.#$("input").placeholder = words.placeholder;
      this.#$("form button").textContent = words.send;
      this.#$(".legal").replaceChildren(
        ...["terms", "privacy"].filter((name) => this.hasAttribute(`${name}-href`)).map((name) => {
          const link = document.createElement("a");
          link.href = this.getAttribute(`${name}-href`);
          link.textContent = words[name];
          return link;
        }),
      );
      const logo = this.#$(".logo");
      logo.hidden = !this.hasAttribute("brand-logo");
      if (!logo.hidden) logo.src = this.getAttribute("brand-logo");
      this.#showName();
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

    #setOpen(open, byVisitor = false) {
      const launcher = this.#$(".launcher");
      this.#$(".panel").hidden = !open;
      launcher.setAttribute("aria-expanded", String(open));
      if (!byVisitor) return;
      storage.write(this.#key("showChatbot"), open);
      (open ? this.#$("input") : launcher).focus();
    }

    #setState(state, error = "") {
      this.dataset.state = state;
      this.#$(".status").textContent = STATUS[state];
      this.#$(".error").textContent = error;
      const retry = this.#$(".retry");
      if (this.shadowRoot.activeElement === retry) this.#$("input").focus();
      retry.hidden = state !== "error";
      // Not `disabled`: that would take the focus away at every refresh.
      this.#$("form button").setAttribute("aria-disabled", String(state !== "connected"));
    }

    #later(seconds, task) {
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        task();
      }, seconds * 1000);
      this.#timers.add(timer);
    }

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
        this.#open(visit);
      } catch (error) {
        if (visit !== this.#visit) return;
        this.#forget();
        this.#setState("error", `The avatar cannot connect: ${error.message}`);
      }
    }

    async #requestTokens(refreshToken) {
      const url = new URL(this.#setting("token-endpoint"), document.baseURI);
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
        throw new Error("the token endpoint's answer holds no tokens.");
      }
      if (refreshToken) this.#refreshes += 1;
      return { token: tokens.accessToken, refreshToken: tokens.refreshToken, avatarParameters };
    }

    #open(visit) {
      const { token, avatarParameters } = this.#auth;
      this.#showParameters(avatarParameters);
      const socket = new WebSocket(avatarParameters.websocket);
      this.#socket = socket;
      socket.onopen = () => socket.send(JSON.stringify({ accessToken: token }));
      socket.onmessage = ({ data }) => {
        if (visit === this.#visit) this.#receive(JSON.parse(data));
      };
      socket.onclose = ({ code }) => {
        if (visit !== this.#visit) return;
        this.#socket = null;
        if (code === TOKEN_CLOSED) {
          this.#auth = { ...this.#auth, token: "" };
          this.#refresh();
        } else {
          this.#retry();
        }
      };
    }

    #refresh() {
      // A token that is refused straight after it was fetched must not start an endless loop.
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

    #receive(message) {
      if (message.type === "ready") {
        this.#retries = 0;
        this.#setState("connected");
        if (!this.#conversation.length) this.#add("avatar", this.#auth.avatarParameters.greeting);
      } else if (message.type === "message") {
        this.#add("avatar", message.text);
      }
    }

    #say() {
      const input = this.#$("input");
      const text = input.value.trim();
      if (!text || this.dataset.state !== "connected") return;
      this.#socket.send(JSON.stringify({ text }));
      this.#add("visitor", text);
      input.value = "";
    }

    #add(who, text) {
      this.#conversation.push([who, text]);
      storage.write(this.#key("conversationData"), this.#conversation);
      this.#show(who, text);
      if (who === "avatar") {
        this.toggleAttribute("data-talking", true);
        this.#later(Math.min(4, text.length / 20), () => this.toggleAttribute("data-talking", false));
      }
    }

    #show(who, text) {
      const line = document.createElement("p");
      line.className = who;
      line.textContent = text;
      const log = this.#$(".log");
      log.append(line);
      log.scrollTop = log.scrollHeight;
    }

    #showParameters(parameters) {
      this.#showName();
      const { exp, jti = "" } = claims(this.#auth.token);
      const rows = {
        Token: `${jti.slice(0, 8)}, good until ${new Date(exp * 1000).toLocaleTimeString()}`,
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

  customElements.define(ELEMENT, SentifydSandbox);
})();
