// The component's HTML and texts.
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
    <div class="ask" role="group" aria-labelledby="question" hidden>
      <p id="question" role="alert"></p>
      <pre class="input" tabindex="0" aria-label="Arguments of the action"></pre>
      <button class="refuse" type="button">Refuse</button>
      <button class="allow" type="button">Allow</button>
    </div>
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

/** @type {Record<State, string>} */
const STATUS = {
  idle: "Not connected.",
  connecting: "Connecting…",
  connected: "Connected.",
  refreshing: "The token has expired: requesting a new one…",
  error: "",
};

/** @type {{ [language: string]: Words }} */
const WORDS = {
  en: { placeholder: "Type a message", send: "Send", terms: "Terms", privacy: "Privacy" },
  fr: { placeholder: "Écrivez un message", send: "Envoyer", terms: "Conditions", privacy: "Confidentialité" },
  de: { placeholder: "Nachricht schreiben", send: "Senden", terms: "Nutzungsbedingungen", privacy: "Datenschutz" },
  es: { placeholder: "Escribe un mensaje", send: "Enviar", terms: "Condiciones", privacy: "Privacidad" },
  ar: { placeholder: "اكتب رسالة", send: "إرسال", terms: "الشروط", privacy: "الخصوصية" },
  zh: { placeholder: "输入消息", send: "发送", terms: "条款", privacy: "隐私" },
};
