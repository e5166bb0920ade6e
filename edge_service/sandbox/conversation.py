"""The WebSocket between avatar and component: messages in both directions, and action calls.

Incoming messages are limited and validated. A malformed or unexpected message raises a `ValueError`
or `KeyError`.
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
    """A link to a page, with the excerpt that matched."""

    text: str
    url: str
    excerpt: str


class CallFailed(Exception):
    """An action failed; the message says why."""


class CallRefused(Exception):
    """The visitor did not allow an action."""


class Conversation:
    """The conversation with one visitor.

    Args:
        socket: an open connection.
        greet: returns the greeting for a page with these actions.
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
        """The access token from the first message."""
        message = await self._receive()
        self._set_actions(message.get("actions", []))
        return _text(message["accessToken"])

    async def begin(self, avatar: str) -> None:
        """Confirm to the component that its token is valid."""
        greeting = self._greet(self.actions)
        await self._send({"type": "ready", "avatar": avatar, "greeting": greeting})

    async def next_text(self) -> str:
        """The visitor's next message."""
        while not self._texts:
            await self._process_message()
        return self._texts.popleft()

    async def say(self, text: str, links: Sequence[Link] = ()) -> None:
        """Send a message to the visitor."""
        await self._send({"type": "message", "text": text, "links": list(links)})

    async def call(self, name: str, arguments: dict[str, object]) -> Any:  # noqa: ANN401 - JSON
        """Run one of the page's actions, and wait for its result.

        Raises:
            CallFailed: the action returned an error, or took too long.
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
                    await self._process_message()
        except TimeoutError:
            raise CallFailed("it took too long") from None
        match self._outcome:
            case {"result": result}:
                return result
            case {"error": error}:
                raise CallFailed(error)
        raise CallRefused

    async def _process_message(self) -> None:
        match await self._receive():
            case {"text": text, **rest} if not rest and len(self._texts) < MAX_WAITING:
                self._texts.append(_text(text))
            case {"actions": actions, **rest} if not rest:
                self._set_actions(actions)
                text = self._greet(self.actions)
                await self._send({"type": "greeting", "text": text})
            case {"call": int(number), **outcome} if number in self._unanswered:
                # A late answer is valid, but no longer used.
                self._unanswered.discard(number)
                self._outcome = _checked(outcome)
            case _:
                raise ValueError

    async def _send(self, message: dict[str, Any]) -> None:
        # ASCII with escapes, because a page may cut off half of a surrogate pair.
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

    def _set_actions(self, actions: object) -> None:
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
