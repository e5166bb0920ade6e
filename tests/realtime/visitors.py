"""Visitors of sites with the realtime component: the sandbox's, or the vendor's own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from playwright.sync_api import Locator, Page, Response, WebSocket

from tests.runtime.stage import INSTANT, Stage, Theme, Visitor
from tests.support.waiting import until

ELEMENT = "sentifyd-realtime"
STATE = "chatbotState_avtr_1"
CONSENT = "agreed => document.dispatchEvent(new CustomEvent('sentifyd:consent', {detail: agreed}))"
STORED = "Object.keys(sessionStorage).filter((key) => /^(chatbot|show|auth|conv)/.test(key))"
LINKS = "[To Plain](plain.md) [To Off](off.md)"
OWN = f"# Own\n\n{LINKS}\n\nBefore.\n\n<{ELEMENT}></{ELEMENT}>\n\nAfter.\n"
# Where an open panel is, and the page is empty.
PANEL = """() => {
  const [x, y] = innerWidth < 500 ? [innerWidth / 2, innerHeight / 2] : [innerWidth - 150, 560];
  return document.elementFromPoint(x, y)?.localName === "sentifyd-realtime";
}"""
_WATCH = """
window.openings = [];
for (const name of ["open", "close"]) {
  document.addEventListener(`sentifyd:${name}`, () => openings.push(name));
}
window.gaps = 0;
addEventListener("DOMContentLoaded", () => {
  new MutationObserver(() => {
    const launcher = document.querySelector("[data-sentifyd-launcher]");
    const state = JSON.parse(sessionStorage.chatbotState_avtr_1 ?? "{}");
    if (launcher?.hidden && !state.isVisible) gaps += 1;
  }).observe(document, { subtree: true, attributes: true, attributeFilter: ["hidden"] });
});
"""


class Realtime(Visitor):
    """A visitor who sees what a page shows, and what the component sends."""

    # The component's own button.
    button = "Avatar (sandbox)"

    def __init__(self, page: Page, stage: Stage, loader: str) -> None:
        super().__init__(page, [loader])
        page.set_default_timeout(30_000)
        page.add_init_script(_WATCH)
        self.stage = stage
        self.loader = loader
        self.sockets: list[WebSocket] = []
        self.sent: list[str] = []
        self._connected: set[WebSocket] = set()
        self._answers: list[Response] = []
        self._issued: list[str] = []
        page.on("websocket", self._follow)
        # Sockets end with their page, without an event.
        page.on("request", lambda r: self._connected.clear() if r.is_navigation_request() else None)
        page.on("response", self._keep)

    def build(
        self,
        options: Mapping[str, Any] | None = None,
        theme: Theme = INSTANT,
        files: Mapping[str, str] | None = None,
    ) -> str:
        mine = {"component": "realtime", "loader": {"url": self.loader}, **(options or {})}
        return self.stage.build(mine, theme=theme, files={"own.md": OWN, **(files or {})})

    def connections(self) -> int:
        """The number of open sockets that have sent a token."""
        self._catch_up()
        return sum(not socket.is_closed() for socket in self._connected)

    def wait_until_connected(self) -> None:
        until(lambda: self.connections() == 1)

    def issued(self) -> list[str]:
        """The access tokens that the endpoint has answered."""
        while self._answers:
            answer = self._answers.pop(0)
            if answer.status == 200:
                self._issued.append(answer.json()["tokens"]["accessToken"])
        return self._issued

    def token_requests(self) -> int:
        self._catch_up()
        return sum(request.url == self.stage.endpoint for request in self.requests)

    def is_open(self) -> bool:
        """Whether an open panel is on the screen."""
        is_open: bool = self.page.evaluate(PANEL)
        return is_open

    def wait_until_open(self, is_open: bool = True) -> None:
        self.page.wait_for_function(f"is => ({PANEL})() === is", arg=is_open)

    def ask(self, name: str) -> None:
        self.page.evaluate("name => sentifydDocs[name]()", name)

    def openings(self) -> list[str]:
        names: list[str] = self.page.evaluate("openings.splice(0)")
        return names

    def wait_for_openings(self, *names: str) -> None:
        self.page.wait_for_function("n => openings.length >= n", arg=len(names))
        assert self.openings() == list(names)

    def toggler(self) -> Locator:
        return self.element(ELEMENT).get_by_role("button", name=self.button)

    def _catch_up(self) -> None:
        # Playwright reports what has happened only while it is called.
        self.page.evaluate("true")

    def _follow(self, socket: WebSocket) -> None:
        def keep(payload: str | bytes) -> None:
            self.sent.append(str(payload))
            if "oken" in str(payload):
                self._connected.add(socket)

        self.sockets.append(socket)
        socket.on("framesent", keep)

    def _keep(self, response: Response) -> None:
        if response.url == self.stage.endpoint:
            self._answers.append(response)


class Vendor(Realtime):
    """A visitor of a site with the vendor's own component."""

    button = "Toggle avatar chatbot"

    def __init__(self, page: Page, stage: Stage, backend: str) -> None:
        super().__init__(page, stage, f"{backend}/main.js")
        page.add_init_script(f"window.VITE_APP_SOCKET_URL = {backend!r}")
        # Its fonts come from another machine.
        page.context.route(
            "https://**", lambda route: route.fulfill(content_type="text/css", body="")
        )

    def violations(self) -> list[str]:
        """What the page's policy did not allow."""
        found: list[str] = self.page.evaluate("seen.violations")
        return found
