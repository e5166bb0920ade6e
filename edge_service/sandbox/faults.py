"""Faults that the sandbox's login can simulate."""

from __future__ import annotations

import asyncio
import itertools
import zlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, get_args

from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

__all__ = ["Fault", "FaultKind"]

FaultKind = Literal[
    "delay", "status", "flap", "drip", "reset", "garbage", "redirect", "oversized", "bomb"
]
MEBIBYTE = 1024 * 1024
OVERSIZED_BYTES = 2 * MEBIBYTE
BOMB_MEBIBYTES = 32


@dataclass(frozen=True, slots=True)
class Fault:
    """A simulated fault, active until it is switched off.

    Attributes:
        kind: `delay` answers late; `status` answers with an error; `flap` alternates between
            `count` errors and `count` successes; `drip` sends one byte at a time; `reset` closes
            the connection within the response; `garbage` is not JSON; `redirect` is a 307 to
            `location`; `oversized` sends two mebibytes; `bomb` sends a grant with 32 mebibytes of
            white space, which gzip makes small.
        seconds: time before the response (`delay`) or between two bytes (`drip`).
        status: HTTP status of `status` and `flap`.
        retry_after: `Retry-After` of `status` and `flap`, in seconds.
        location: target of `redirect`.
        count: number of errors, and of successes, in one run of `flap`.
    """

    kind: FaultKind
    seconds: float = 0.5
    status: int = 503
    retry_after: int | None = None
    location: str = "/elsewhere"
    count: int = 3
    _turns: Iterator[int] = field(
        default_factory=itertools.count, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        """Validate the fields.

        Raises:
            ValueError: an unknown kind, or a value out of range.
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
        if not isinstance(self.count, int) or not 1 <= self.count <= 1000:
            raise ValueError("count must be a whole number from 1 to 1000")

    async def instead_of(self, answer: dict[str, Any]) -> Response:
        """The response to send instead of this login answer."""
        match self.kind:
            case "delay":
                await asyncio.sleep(self.seconds)
                return JSONResponse(answer)
            case "status":
                return self._error()
            case "flap":
                works = next(self._turns) // self.count % 2
                return JSONResponse(answer) if works else self._error()
            case "drip":
                return StreamingResponse(self._drip(JSONResponse(answer).body))
            case "reset":
                # The server closes the connection because bytes are missing.
                return Response(b"{", headers={"Content-Length": "1000"})
            case "garbage":
                return Response(b"\x00<html>this is not JSON", media_type="application/json")
            case "redirect":
                return RedirectResponse(self.location, 307)
            case "oversized":
                return Response(b'"' + b"a" * OVERSIZED_BYTES + b'"', media_type="application/json")
            case "bomb":
                body = _bomb(JSONResponse(answer).body)
                return Response(body, 200, {"Content-Encoding": "gzip"}, "application/json")

    def _error(self) -> Response:
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return JSONResponse({"error": "sandbox_fault"}, self.status, headers)

    async def _drip(self, body: bytes | memoryview) -> AsyncIterator[bytes]:
        for byte in bytes(body):
            yield bytes([byte])
            await asyncio.sleep(self.seconds)


def _bomb(body: bytes | memoryview) -> bytes:
    space, compressor = _compressed_space()
    rest = compressor.copy()
    return space + rest.compress(body) + rest.flush()


@cache
def _compressed_space() -> tuple[bytes, zlib._Compress]:
    """Compressed white space, and the compressor to continue the stream with."""
    compressor = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    space = b"".join(compressor.compress(b" " * MEBIBYTE) for _ in range(BOMB_MEBIBYTES))
    return space + compressor.flush(zlib.Z_SYNC_FLUSH), compressor
