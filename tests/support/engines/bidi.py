"""Firefox, by WebDriver BiDi (W3C), which it speaks itself."""

from __future__ import annotations

import itertools
import json
import shutil
import signal
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.support import missing
from tests.support.engines.actions import Actions, clicking, pressing, typing
from tests.support.engines.tab import HEIGHT, PATIENCE, WIDTH, BrowserError, Json, Tab, as_script
from tests.support.processes import Command

NAMES = ("firefox-esr", "firefox")


class FirefoxTab(Tab):
    """A top-level browsing context."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count()
        capabilities = self._send("session.new", capabilities={})["capabilities"]
        self.version = f"Firefox {capabilities['browserVersion']}"
        self._context = self._send("browsingContext.create", type="tab")["context"]

    def open(self, url: str) -> None:
        self._send("browsingContext.navigate", context=self._context, url=url, wait="complete")

    def evaluate(self, expression: str, *args: object) -> Json:
        answer = self._send(
            "script.callFunction",
            functionDeclaration=f"async () => {{ {as_script(expression, args)} }}",
            target={"context": self._context},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise BrowserError(answer["exceptionDetails"]["text"])
        text = answer["result"].get("value")
        return text and json.loads(text)

    def press(self, keys: str) -> None:
        self._perform(pressing(keys))

    def type(self, text: str) -> None:
        self._perform(typing(text))

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height}
        self._send("browsingContext.setViewport", context=self._context, viewport=size)

    def screenshot(self, path: Path) -> None:
        answer = self._send("browsingContext.captureScreenshot", context=self._context)
        path.write_bytes(b64decode(answer["data"]))

    def _click_at(self, x: int, y: int) -> None:
        self._perform(clicking(x, y))

    def _perform(self, actions: Actions) -> None:
        self._send("input.performActions", context=self._context, actions=actions)

    def _send(self, method: str, **params: object) -> dict[str, Any]:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            answer = json.loads(self._socket.recv(PATIENCE))
            if answer.get("id") != number:
                continue  # the answer to a command whose time was over
            if answer["type"] == "error":
                raise BrowserError(answer["message"])
            result: dict[str, Any] = answer["result"]
            return result


@contextmanager
def firefox(folder: Path) -> Iterator[Tab]:
    """Start Firefox; the folder is for its profile and its caches."""
    if (path := next(filter(None, map(shutil.which, NAMES)), None)) is None:
        missing.skip("no Firefox: run 'sudo apt-get install firefox-esr'")
    arguments = ("--headless", "--no-remote", "--remote-debugging-port=0", "--profile")
    command = Command(path, *arguments, str(folder), HOME=str(folder))
    try:
        address = command.wait_for(r"WebDriver BiDi listening on (ws://\S+)", PATIENCE)[1]
        with connect(f"{address}/session", max_size=None, open_timeout=PATIENCE) as socket:
            tab = FirefoxTab(socket)
            tab.resize(WIDTH, HEIGHT)
            yield tab
    finally:
        command.stop(signal.SIGTERM)
