"""Ways in which the sandbox's login can go wrong on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

__all__ = ["Fault", "FaultKind"]

FaultKind = Literal["delay", "status", "drip", "reset", "garbage", "redirect", "oversized"]
OVERSIZED_BYTES = 2 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of misbehaviour, until it is switched off.

    Attributes:
        kind: `delay` answers late; `status` answers with an error; `drip` sends a byte at a time;
            `reset` breaks off in mid-answer; `garbage` is not JSON; `redirect` is a 307 to
            `location`; `oversized` sends two mebibytes.
        seconds: before the answer (`delay`) or between two bytes (`drip`).
        status: HTTP status of `status`.
        retry_after: `Retry-After` of `status`, in seconds.
        location: target of `redirect`.
    """

    kind: FaultKind
    seconds: float = 0.5
    status: int = 503
    retry_after: int | None = None
    location: str = "/elsewhere"

    def __post_init__(self) -> None:
        """Refuse what cannot be done.

        Raises:
            ValueError: an unknown kind, or a value outside its bounds.
        """
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"kind must be one of {', '.join(get_args(FaultKind))}")
        if not isinstance(self.seconds, (int, float)) or not 0 <= self.seconds <= 60:
            raise ValueError("seconds must be a number from 0 to 60")
        if not isinstance(self.status, int) or not 400 <= self.status <= 599:
            raise ValueError("status must be a number from 400 to 599")
        if self.retry_after is not None and not isinstance(self.retry_after, int):
            raise ValueError("retry_after must be a whole number of seconds")
        if not isinstance(self.location, str) or not self.location.isprintable():
            raise ValueError("location must be a URL")

    async def instead_of(self, answer: dict[str, Any]) -> Response:
        """What to send in place of an honest answer."""
        match self.kind:
            case "delay":
                await asyncio.sleep(self.seconds)
                return JSONResponse(answer)
            case "status":
                headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
                return JSONResponse({"error": "sandbox_fault"}, self.status, headers)
            case "drip":
                return StreamingResponse(self._drip(JSONResponse(answer).body))
            case "reset":
                # The server notices the missing bytes and drops the connection.
                return Response(b"{", headers={"Content-Length": "1000"})
            case "garbage":
                return Response(b"\x00<html>this is not JSON", media_type="application/json")
            case "redirect":
                return RedirectResponse(self.location, 307)
            case "oversized":
                return Response(b'"' + b"a" * OVERSIZED_BYTES + b'"', media_type="application/json")

    async def _drip(self, body: bytes | memoryview) -> AsyncIterator[bytes]:
        for byte in bytes(body):
            yield bytes([byte])
            await asyncio.sleep(self.seconds)
