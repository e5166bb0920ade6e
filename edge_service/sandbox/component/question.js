// Asks the visitor whether an action may run. No answer is a refusal.
const ASK_SECONDS = 45;

class Question {
  #root;
  #field;
  /** @type {((allowed: boolean) => void) | null} */
  #decided = null;
  #timer = 0;

  /**
   * @param {ShadowRoot} root
   * @param {HTMLElement} field what gets the focus afterwards
   */
  constructor(root, field) {
    this.#root = root;
    this.#field = field;
    this.#$(".allow").addEventListener("click", () => this.decide(true));
    this.#$(".refuse").addEventListener("click", () => this.decide(false));
  }

  /** @param {string} selector @returns {any} */
  #$(selector) { return this.#root.querySelector(selector); }

  /**
   * @param {string} text
   * @param {unknown} input arguments of the action
   * @returns {Promise<boolean>}
   */
  ask(text, input) {
    this.decide(false);
    this.#$(".ask").hidden = false;
    this.#$("#question").textContent = text;
    this.#$(".input").textContent = JSON.stringify(input);
    // Visitors whose focus is elsewhere on the page keep it; the alert announces the question.
    if (this.#root.activeElement) this.#$(".refuse").focus();
    this.#timer = setTimeout(() => this.decide(false), ASK_SECONDS * 1000);
    return new Promise((decide) => { this.#decided = decide; });
  }

  /** @param {boolean} allowed */
  decide(allowed) {
    clearTimeout(this.#timer);
    const ask = this.#$(".ask");
    if (ask.contains(this.#root.activeElement)) this.#field.focus();
    ask.hidden = true;
    this.#decided?.(allowed);
    this.#decided = null;
  }
}
