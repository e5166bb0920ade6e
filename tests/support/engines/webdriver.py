"""WebKitGTK, by WebDriver (W3C)."""

from __future__ import annotations

import json
import shutil
import signal
from base64 import b64decode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import requests

from tests.support import missing
from tests.support.engines.actions import Actions, clicking, pressing, typing
from tests.support.engines.tab import HEIGHT, PATIENCE, WIDTH, BrowserError, Json, Tab
from tests.support.ports import free_port
from tests.support.processes import Command
from tests.support.waiting import until

_SCRIPT = """
const args = %s;
try {
  const value = (%s);
  if (!(value instanceof Promise)) return { text: JSON.stringify(value) };
  window.awaited = value;
  return null;
} catch (error) {
  return { error: `${error}` };
}
"""
# Only for promises: a page that goes into the back/forward cache never answers it.
_AWAIT = """
const end = arguments[0];
window.awaited.then(
  (value) => end({ text: JSON.stringify(value) }),
  (error) => end({ error: `${error}` }),
);
"""


class WebKitTab(Tab):
    """The window of a session.

    Args:
        service: URL of a WebDriver.
    """

    def __init__(self, service: str) -> None:
        self._http = requests.Session()
        self._url = f"{service}/session"
        session = self._post("", capabilities={})
        self._url = f"{service}/session/{session['sessionId']}"
        self.version = f"WebKitGTK {session['capabilities']['browserVersion']}"
        self._post("/timeouts", script=int(PATIENCE * 1000), pageLoad=int(PATIENCE * 1000))

    def open(self, url: str) -> None:
        self._post("/url", url=url)

    def evaluate(self, expression: str, *args: object) -> Json:
        script = _SCRIPT % (json.dumps(args), expression)
        answer = self._post("/execute/sync", script=script, args=[])
        answer = answer or self._post("/execute/async", script=_AWAIT, args=[])
        if "error" in answer:
            raise BrowserError(answer["error"])
        text = answer.get("text")
        return text and json.loads(text)

    def press(self, keys: str) -> None:
        self._perform(pressing(keys))

    def type(self, text: str) -> None:
        self._perform(typing(text))

    def resize(self, width: int, height: int) -> None:
        self._post("/window/rect", width=width, height=height)
        # The window is larger than the page in it, by the browser's own bar.
        inner_width, inner_height = self.evaluate("[innerWidth, innerHeight]")
        self._post("/window/rect", width=2 * width - inner_width, height=2 * height - inner_height)

    def screenshot(self, path: Path) -> None:
        path.write_bytes(b64decode(self._answer("GET", "/screenshot")))

    def close(self) -> None:
        """End the session, and with it the browser."""
        self._answer("DELETE", "")
        self._http.close()

    def _click_at(self, x: int, y: int) -> None:
        self._perform(clicking(x, y))

    def _perform(self, actions: Actions) -> None:
        self._post("/actions", actions=actions)

    def _post(self, path: str, **body: object) -> Json:
        return self._answer("POST", path, body)

    def _answer(self, method: str, path: str, body: dict[str, object] | None = None) -> Json:
        answer = self._http.request(method, self._url + path, json=body, timeout=2 * PATIENCE)
        value = answer.json()["value"]
        if not answer.ok:
            raise BrowserError(f"{value['error']}: {value['message']}")
        return value


@contextmanager
def webkit(folder: Path) -> Iterator[Tab]:
    """Start WebKitGTK's own small browser on a screen in memory; the folder is for its files."""
    driver, screen = map(shutil.which, ("WebKitWebDriver", "Xvfb"))
    if driver is None or screen is None:
        missing.skip("no WebKitGTK: run 'sudo apt-get install webkit2gtk-driver xvfb'")
    with ExitStack() as stack:
        size = ("-screen", "0", "1600x1200x24", "-nolisten", "tcp")
        # It picks a free number and writes it to file descriptor 1.
        display = Command(screen, "-displayfd", "1", *size)
        stack.callback(display.stop, signal.SIGTERM)
        number = display.wait_for(r"^\d+$", PATIENCE)[0]
        port = free_port()
        place = {"DISPLAY": f":{number}", "HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
        service = Command(driver, f"--port={port}", **place)
        stack.callback(service.stop, signal.SIGTERM)
        url = f"http://127.0.0.1:{port}"
        until(lambda: _is_ready(url), PATIENCE)
        tab = WebKitTab(url)
        stack.callback(tab.close)
        tab.resize(WIDTH, HEIGHT)
        yield tab


def _is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/status", timeout=PATIENCE).ok
    except requests.ConnectionError:
        return False
