// How the realtime component differs, as observed from outside in version 1.4.0 of the vendor's package.

// Seconds between its token requests while they are refused; it connects by itself only after the first ones.
const PAUSES = [2, 3, 2, 2, 1, 4, 3];
const LATER_PAUSE = 5;
const FIRST_REQUESTS = 5;
/** @type {Record<Flag, boolean>} */
const FLAGS = { toggler: true, compact: false, overlay: false };

class RealtimeConnection extends Connection {
  /** All that are in the page. @type {Set<RealtimeConnection>} */
  static #living = new Set();
  #isRequesting = false;

  start() {
    RealtimeConnection.#living.add(this);
    // An element that is in the page again connects only when the visitor asks for it.
    if (!this.attempt) this.connect();
  }

  stop() {
    const living = RealtimeConnection.#living;
    living.delete(this);
    // A removed element still uses the tokens that it waits for.
    if (!this.#isRequesting) super.stop();
    living.forEach((other) => {
      other.disconnect();
      other.connect();
    });
  }

  async connect() {
    const attempt = ++this.attempt;
    this.#isRequesting = true;
    this.host.setState("connecting");
    for (let requests = 1; ; requests += 1) {
      // The refresh token is never sent.
      const auth = await requestTokens(this.host.endpoint).catch(() => null);
      if (attempt !== this.attempt) return;
      if (auth) {
        this.#isRequesting = false;
        this.keep(auth);
        if (requests <= FIRST_REQUESTS) this.open();
        return;
      }
      if (requests === FIRST_REQUESTS) this.host.setState("error", { text: "failed", values: {} });
      const pause = PAUSES[requests - 1] ?? LATER_PAUSE;
      await new Promise((goOn) => { setTimeout(goOn, pause * 1000); });
      if (attempt !== this.attempt) return;
    }
  }

  reopen() {
    if (isValid(this.auth)) this.open();
    else this.connect();
  }

  /** @param {Auth} auth */
  toStore({ token: accessToken, refreshToken, avatarParameters }) {
    return { accessToken, refreshToken, avatarParameters };
  }
}

/** Its attributes that are true or false. It reads them into properties, and rewrites some at the start. */
class Flags {
  #host;
  #values = { ...FLAGS };
  #isWriting = false;
  #isStarted = false;

  /** @param {HTMLElement} host */
  constructor(host) { this.#host = host; }

  /** @param {Flag} name */
  get(name) {
    // An overlay is never compact.
    return this.#values[name] && !(name === "compact" && this.#values.overlay);
  }

  /** @param {Flag} name @param {string | null} value of the attribute; for realtime, a removed one means true */
  read(name, value) {
    if (this.#isWriting) return;
    this.#values[name] = value === null && !IS_REALTIME ? FLAGS[name] : value !== "false";
  }

  /** Write what the component writes when it has started. */
  write() {
    const host = this.#host;
    this.#isWriting = true;
    for (const name of /** @type {Flag[]} */ (Object.keys(FLAGS))) {
      if (this.get(name)) host.setAttribute(name, "");
      else host.removeAttribute(name);
    }
    this.#isWriting = false;
    this.#isStarted = true;
    this.applyStyle();
    host.classList.add("icons-ready");
  }

  /** It copies one attribute into the style of its host. */
  applyStyle() {
    if (!this.#isStarted) return;
    const radius = this.#host.getAttribute("corner-radius");
    if (radius === null) this.#host.style.removeProperty("--corner-radius");
    else this.#host.style.setProperty("--corner-radius", `${Number(radius)}px`);
    this.#host.dir = supportedLanguage(this.#host.getAttribute("ui-language")) === "ar" ? "rtl" : "ltr";
  }
}
