"""Keys and clicks as both W3C protocols describe them (WebDriver, section 15)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Actions = list[dict[str, Any]]

# WebDriver, section 17.4.2; other keys are their own character.
_KEYS = {
    "Alt": "\ue00a",
    "Control": "\ue009",
    "Enter": "\ue007",
    "Escape": "\ue00c",
    "Shift": "\ue008",
    "Space": " ",
    "Tab": "\ue004",
}


def pressing(keys: str) -> Actions:
    """Press keys together, such as `Control+Alt+a`."""
    values = [_KEYS.get(key, key) for key in keys.split("+")]
    downs = [{"type": "keyDown", "value": value} for value in values]
    return _by_keyboard([*downs, *({"type": "keyUp", "value": value} for value in values[::-1])])


def typing(text: str) -> Actions:
    """Type a text, key by key."""
    kinds = ("keyDown", "keyUp")
    return _by_keyboard({"type": kind, "value": letter} for letter in text for kind in kinds)


def clicking(x: int, y: int) -> Actions:
    """Click at a place of the window."""
    steps = [
        {"type": "pointerMove", "x": x, "y": y, "duration": 0},
        {"type": "pointerDown", "button": 0},
        {"type": "pointerUp", "button": 0},
    ]
    mouse = {"pointerType": "mouse"}
    return [{"type": "pointer", "id": "mouse", "parameters": mouse, "actions": steps}]


def _by_keyboard(steps: Iterable[dict[str, Any]]) -> Actions:
    return [{"type": "key", "id": "keyboard", "actions": list(steps)}]
