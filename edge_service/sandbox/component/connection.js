// The connection of an element: tokens, and the WebSocket that they open.
const TOKEN_CLOSED = 4401;
const MAX_RETRIES = 5;

class Connection {
  /** @type {ConnectionHost} */
  host;
  /** @type {Auth | null} */
  auth = null;
  /** The latest attempt; what earlier ones receive is ignored. */
  attempt = 0;
  #refreshes = 0;
  #retries = 0;
  #timer = 0;
  /** @type {WebSocket | null} */
  #socket = null;

  /** @param {ConnectionHost} host */
  constructor(host) { this.host = host; }

  get socket() { return this.#socket?.readyState === WebSocket.OPEN ? this.#socket : null; }

  /** The element is in the page. */
  start() {
    const auth = storage.read(this.host.key("authData"));
    // A restarted server on another port does not accept tokens of the old one.
    this.auth = auth?.tokenEndpoint === this.host.endpoint ? auth : null;
    this.connect();
  }

  /** The element left the page. */
  stop() {
    this.attempt += 1;
    clearTimeout(this.#timer);
    this.#retries = 0;
    this.disconnect();
    this.host.setState("idle");
  }

  disconnect() {
    this.#socket?.close();
    this.#socket = null;
  }

  /** @param {State} [state] */
  async connect(state = "connecting") {
    const attempt = ++this.attempt;
    this.host.setState(state);
    try {
      if (!isValid(this.auth)) {
        const auth = await requestTokens(this.host.endpoint, this.auth?.refreshToken);
        if (attempt !== this.attempt) return;
        if (this.auth?.refreshToken) this.#refreshes += 1;
        this.keep(auth);
      }
      this.open();
    } catch (error) {
      if (attempt === this.attempt) this.fail(error);
    }
  }

  /** @param {Auth} auth */
  keep(auth) {
    this.auth = auth;
    storage.write(this.host.key("authData"), this.toStore(auth));
  }

  /** What the session storage gets. @param {Auth} auth @returns {object} */
  toStore(auth) { return auth; }

  /** @param {any} error */
  fail(error) {
    this.auth = null;
    storage.remove(this.host.key("authData"));
    this.host.setState("error", error.problem);
  }

  open() {
    const attempt = this.attempt;
    const { token, avatarParameters: parameters } = /** @type {Auth} */ (this.auth);
    this.host.issued({ claims: claimsOf(token), refreshes: this.#refreshes, parameters });
    const socket = new WebSocket(parameters.websocket ?? SOCKET);
    this.#socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ accessToken: token, actions: describeActions() }));
    socket.onmessage = ({ data }) => {
      if (attempt === this.attempt) this.#receive(JSON.parse(data));
    };
    socket.onclose = ({ code }) => {
      if (attempt !== this.attempt) return;
      this.#socket = null;
      this.host.disconnected();
      this.#resume(code);
    };
  }

  /** @param {Message} message */
  #receive(message) {
    if (message.type === "ready") {
      this.#retries = 0;
      this.host.setState("connected");
    }
    this.host.receive(message);
  }

  /** @param {number} code */
  #resume(code) {
    // Limited, because a new token may be refused at once, which would start an endless loop.
    if (this.#retries >= MAX_RETRIES) {
      this.#retries = 0;
      this.fail(new ConnectionError("broken"));
    } else if (code === TOKEN_CLOSED) {
      this.#retries += 1;
      if (this.auth) this.auth.token = "";
      this.connect("refreshing");
    } else {
      this.host.setState("connecting");
      this.#timer = setTimeout(() => this.reopen(), 500 * 2 ** this.#retries++);
    }
  }

  /** Open a socket again after one broke. */
  reopen() { this.connect(); }

  /** @param {object} message */
  send(message) { this.socket?.send(JSON.stringify(message)); }
}
