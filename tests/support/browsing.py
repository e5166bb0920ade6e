"""A visitor in Chromium, and all requests and responses of their browser."""

from __future__ import annotations

import os
import shutil
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserType, Error, Page, Request, Response

from tests.support import missing

DESKTOP = ("chromium", "chromium-browser", "google-chrome")
# The headless shell has the engine without the windows of a desktop browser: the tests take half
# the time.
NAMES = ("chromium-headless-shell", *DESKTOP)
# Without these Chromium keeps calling home, and as root it needs --no-sandbox.
FLAGS = (
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)

AVATAR = "sentifyd-bot"
CONNECTED = f'{AVATAR}[data-state="connected"]'


def chromium(*names: str) -> str | None:
    """The path of the browser to test with, or `None` if there is none.

    Args:
        names: commands to look for, if the environment variable `CHROMIUM` does not name one.
    """
    chosen = os.environ.get("CHROMIUM")
    return next(filter(None, map(shutil.which, (chosen,) if chosen else names or NAMES)), None)


def launch(
    kind: BrowserType,
    *flags: str,
    names: tuple[str, ...] = NAMES,
    ignore_default_args: list[str] | None = None,
) -> Browser:
    """Start Chromium, with further flags or without some of Playwright's."""
    if (path := chromium(*names)) is None:
        missing.skip(f"no Chromium: run 'sudo apt-get install {names[0]}'")
    return kind.launch(
        executable_path=path, args=[*FLAGS, *flags], ignore_default_args=ignore_default_args
    )


class Visit:
    """A page that records its requests, responses and console messages."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.requests: list[Request] = []
        self.console: list[str] = []
        self._responses: list[Response] = []
        self._texts: list[str] = []
        page.on("request", lambda request: self.requests.append(request))
        page.on("response", lambda response: self._responses.append(response))
        page.on("console", lambda message: self.console.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: self.console.append(f"error: {error}"))
        page.on("websocket", lambda socket: socket.on("framereceived", self._keep_frame))

    @property
    def avatar(self) -> str:
        return AVATAR

    def errors(self) -> list[str]:
        return [line for line in self.console if line.startswith(("error", "warning"))]

    def origins(self) -> set[str]:
        """Every server that got a request."""
        parts = (urlsplit(request.url) for request in self.requests)
        return {f"{url.scheme}://{url.netloc}" for url in parts if url.scheme in ("http", "https")}

    def wait_until_connected(self) -> None:
        # A locator, because a handle would keep the element in memory.
        self.page.locator(CONNECTED).first.wait_for(state="attached", timeout=15_000)

    def stored(self, key: str) -> object:
        value: object = self.page.evaluate("key => JSON.parse(sessionStorage.getItem(key))", key)
        return value

    def all_received_text(self) -> str:
        """The text of all responses and WebSocket frames since the last call, and of the page."""
        for response in self._responses:
            if response.status < 300 and response.status != 204:
                self._texts.append(_text(response))
            self._texts.append(str(response.all_headers()))
        self._responses.clear()
        texts = [*self._texts, *(request.url for request in self.requests), self.page.content()]
        self._texts.clear()
        return "\n".join([*texts, *self.console, str(self.page.evaluate("({...sessionStorage})"))])

    def _keep_frame(self, payload: str | bytes) -> None:
        self._texts.append(str(payload))


def _text(response: Response) -> str:
    try:
        return response.text()
    except Error as error:
        # It arrived while its page was being left, so no script got it either.
        if "No resource with given identifier" not in str(error):
            raise
        return ""
