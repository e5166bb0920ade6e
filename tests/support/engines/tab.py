"""What the tests of all engines need of a browser: one tab, real keys and clicks, and scripts."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from tests.support.waiting import until

# A parsed JSON text; the caller knows its type.
Json: TypeAlias = Any
# Seconds. Several browsers may share two cores.
PATIENCE = 60.0
WIDTH, HEIGHT = 1280, 800

# The middle of an element, unless it still moves or another element covers it.
_MIDDLE = """(async () => {
  const element = %s;
  element.scrollIntoView({ block: "center", behavior: "instant" });
  const middle = () => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return [Math.round(x + width / 2), Math.round(y + height / 2)];
  };
  const before = middle();
  await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
  const [x, y] = middle();
  const isStill = before[0] === x && before[1] === y;
  return isStill && element.contains(element.getRootNode().elementFromPoint(x, y)) && [x, y];
})()"""


class BrowserError(Exception):
    """The browser could not do it, for example because a page was just being left."""


class Tab(ABC):
    """The only tab of a browser.

    Attributes:
        version: name and version of the browser.
    """

    version: str

    @abstractmethod
    def open(self, url: str) -> None:
        """Open a page, and wait until it has loaded."""

    @abstractmethod
    def evaluate(self, expression: str, *args: object) -> Json:
        """Return the value of an expression in the page, as JSON has it; a promise is awaited.

        Args:
            expression: JavaScript, in which `args` is a list of the further arguments.

        Raises:
            BrowserError: it raised an error, or the page was being left.
        """

    @abstractmethod
    def press(self, keys: str) -> None:
        """Press keys together, such as `Control+Alt+a`."""

    @abstractmethod
    def type(self, text: str) -> None:
        """Type a text, key by key."""

    @abstractmethod
    def resize(self, width: int, height: int) -> None:
        """Set the size of the page's window."""

    @abstractmethod
    def screenshot(self, path: Path) -> None:
        """Write what is visible into a PNG file."""

    @abstractmethod
    def _click_at(self, x: int, y: int) -> None: ...

    def click(self, element: str) -> None:
        """Click the middle of an element as soon as it stands still and nothing covers it.

        Args:
            element: JavaScript whose value is the element.
        """
        self._click_at(*self.wait_for(_MIDDLE % element))

    def wait_for(self, expression: str, *args: object) -> Json:
        """Wait until an expression in the page is truthy, and return its value."""
        last: object = None

        def holds() -> object:
            nonlocal last
            try:
                last = self.evaluate(expression, *args)
            except BrowserError as error:
                last = error
                return False
            return last

        try:
            until(holds, PATIENCE)
        except AssertionError as error:
            raise AssertionError(f"{expression} is {last}") from error
        return last


def as_script(expression: str, args: Sequence[object]) -> str:
    """Return an async function's body: it returns the value of an expression as JSON."""
    return f"const args = {json.dumps(args)}; return JSON.stringify(await ({expression}));"
