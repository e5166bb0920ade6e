"""The WebSocket between avatar and component: messages both ways, and calls of the page's actions.

Everything that comes in is bounded and checked. A message that is malformed, or comes where it has
no place, raises a `ValueError` or `KeyError`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import Callable, Sequence, Set
from typing import Any, TypedDict

from starlette.websockets import WebSocket

__all__ = ["CallFailed", "CallRefused", "Conversation", "Link"]

CALL_SECONDS = 60.0
MAX_MESSAGE = 64 * 1024
MAX_TEXT = 2000
MAX_WAITING = 8
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")


class Link(TypedDict):
    """A page to go to."""

    text: str
    url: str
    excerpt: str


class CallFailed(Exception):
    """An action did not do its work; the text tells why."""


class CallRefused(Exception):
    """The visitor did not allow an action."""


class Conversation:
    """One visitor.

    Args:
        socket: an open connection.
        greet: makes the greeting for a page that has these actions.
    """

    def __init__(self, socket: WebSocket, greet: Callable[[Set[str]], str]) -> None:
        self.actions: Set[str] = frozenset()
        self._socket = socket
        self._greet = greet
        self._texts: deque[str] = deque()
        self._calls = 0
        self._unanswered: set[int] = set()
        self._outcome: dict[str, Any] = {}

    async def receive_token(self) -> str:
        """The access token that the first message brings."""
        message = await self._receive()
        self._learn(message.get("actions", []))
        return _text(message["accessToken"])

    async def begin(self, avatar: str) -> None:
        """Tell the component that its token is good."""
        greeting = self._greet(self.actions)
        await self._send({"type": "ready", "avatar": avatar, "greeting": greeting})

    async def next_text(self) -> str:
        """What the visitor writes next."""
        while not self._texts:
            await self._heed()
        return self._texts.popleft()

    async def say(self, text: str, links: Sequence[Link] = ()) -> None:
        """Write to the visitor."""
        await self._send({"type": "message", "text": text, "links": list(links)})

    async def call(self, name: str, arguments: dict[str, object]) -> Any:  # noqa: ANN401 - JSON
        """Run one of the page's actions, and wait for its result.

        Raises:
            CallFailed: the action told an error, or took too long.
            CallRefused: the visitor did not allow it.
        """
        self._calls += 1
        number = self._calls
        self._unanswered.add(number)
        call = {"type": "call", "call": number, "name": name, "arguments": arguments}
        await self._send(call)
        try:
            async with asyncio.timeout(CALL_SECONDS):
                while number in self._unanswered:
                    await self._heed()
        except TimeoutError:
            raise CallFailed("it took too long") from None
        match self._outcome:
            case {"result": result}:
                return result
            case {"error": error}:
                raise CallFailed(error)
        raise CallRefused

    async def _heed(self) -> None:
        match await self._receive():
            case {"text": text, **rest} if not rest and len(self._texts) < MAX_WAITING:
                self._texts.append(_text(text))
            case {"actions": actions, **rest} if not rest:
                self._learn(actions)
                text = self._greet(self.actions)
                await self._send({"type": "greeting", "text": text})
            case {"call": int(number), **outcome} if number in self._unanswered:
                # An answer that comes too late is right, and of no use any more.
                self._unanswered.discard(number)
                self._outcome = _checked(outcome)
            case _:
                raise ValueError

    async def _send(self, message: dict[str, Any]) -> None:
        # Escaped, because half a surrogate pair that a page has cut off cannot be sent as it is.
        await self._socket.send_text(json.dumps(message))

    async def _receive(self) -> dict[str, Any]:
        text = await self._socket.receive_text()
        if len(text) > MAX_MESSAGE:
            raise ValueError
        try:
            message = json.loads(text)
        except RecursionError:
            raise ValueError from None
        if not isinstance(message, dict):
            raise ValueError
        return message

    def _learn(self, actions: object) -> None:
        if not isinstance(actions, list):
            raise ValueError
        self.actions = frozenset(_action_name(action) for action in actions)


def _text(text: object) -> str:
    if not isinstance(text, str) or not 0 < len(text) <= MAX_TEXT:
        raise ValueError
    return text


def _action_name(action: object) -> str:
    match action:
        case {"name": str(name), "description": str(), "inputSchema": dict()} if _NAME.fullmatch(
            name
        ):
            return name
    raise ValueError


def _checked(outcome: dict[str, Any]) -> dict[str, Any]:
    match outcome:
        case {"result": _, **rest} | {"error": str(), **rest} | {"refused": True, **rest} if (
            not rest
        ):
            return outcome
    raise ValueError
