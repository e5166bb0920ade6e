// The component's HTML. `data-text` and `data-label` name the text that an element shows or is called.
const FACE = `
  <svg viewBox="0 0 64 64" aria-hidden="true">
    <circle cx="32" cy="32" r="30" fill="#ffffff"/>
    <circle cx="22" cy="27" r="4" fill="#011f28"/><circle cx="42" cy="27" r="4" fill="#011f28"/>
    <ellipse class="mouth" cx="32" cy="43" rx="10" ry="4" fill="#801bea"/>
  </svg>`;

const MARKUP = `
  <div class="frame">
    <section class="panel" id="panel" role="region" aria-labelledby="name" hidden>
      <header>${FACE}
        <img class="logo" alt="" hidden>
        <div class="title"><strong id="name"></strong><span class="badge" data-text="badge"></span></div>
        <button class="close" type="button" data-label="close">×</button>
      </header>
      <div class="stage">${FACE}</div>
      <div class="log" role="log" data-label="conversation" tabindex="0"></div>
      <span class="badge mark" data-text="mark"></span>
      <div class="ask" role="group" aria-labelledby="question" hidden>
        <p id="question" role="alert"></p>
        <pre class="input" role="group" tabindex="0" data-label="input" lang="en" dir="ltr"></pre>
        <button class="refuse" type="button" data-text="refuse"></button>
        <button class="allow" type="button" data-text="allow"></button>
      </div>
      <form>
        <input name="text" maxlength="1000" autocomplete="off" dir="auto" data-label="message">
        <button type="submit" aria-disabled="true" data-text="send"></button>
      </form>
      <footer>
        <div class="status" id="status"></div>
        <div class="error" id="error" role="alert"></div>
        <button class="retry" type="button" hidden></button>
        <dl class="parameters"></dl>
        <div class="legal"></div>
      </footer>
    </section>
    <button class="launcher" type="button" data-label="launcher" aria-expanded="false" aria-controls="panel"
      aria-describedby="status error">${FACE}</button>
  </div>`;
