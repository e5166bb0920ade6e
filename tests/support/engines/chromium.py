"""Chromium, by Playwright."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Error, Page

from tests.support.engines.tab import HEIGHT, PATIENCE, WIDTH, BrowserError, Json, Tab, as_script


class ChromiumTab(Tab):
    """A page of Playwright's."""

    def __init__(self, browser: Browser, page: Page) -> None:
        self.version = f"Chromium {browser.version}"
        self._page = page
        page.set_default_timeout(PATIENCE * 1000)

    def open(self, url: str) -> None:
        self._page.goto(url)

    def evaluate(self, expression: str, *args: object) -> Json:
        try:
            text = self._page.evaluate(f"async () => {{ {as_script(expression, args)} }}")
        except Error as error:
            raise BrowserError(str(error)) from error
        return text and json.loads(text)

    def press(self, keys: str) -> None:
        self._page.keyboard.press(keys)

    def type(self, text: str) -> None:
        self._page.keyboard.type(text)

    def resize(self, width: int, height: int) -> None:
        self._page.set_viewport_size({"width": width, "height": height})

    def screenshot(self, path: Path) -> None:
        self._page.screenshot(path=path)

    def _click_at(self, x: int, y: int) -> None:
        self._page.mouse.click(x, y)


@contextmanager
def chromium(browser: Browser) -> Iterator[Tab]:
    """A tab of a browser that runs already."""
    with browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}) as context:
        yield ChromiumTab(browser, context.new_page())
