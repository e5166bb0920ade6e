"""A connection to a server, byte by byte, and its answers."""

from __future__ import annotations

import json
import socket
import time
from contextlib import suppress
from dataclasses import dataclass

from tests.support.waiting import TIMEOUT


@dataclass(frozen=True)
class Answer:
    """One HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> object:
        return json.loads(self.body)["code"]

    def refuses(self, status: int, code: str) -> bool:
        """Whether it is one of the server's own errors, and closes the connection."""
        return (
            self.status == status
            and self.code == code
            and self.headers["content-type"] == "application/json"
            and self.headers["cache-control"] == "no-store"
            and self.headers["vary"] == "Origin"
            and self.headers["connection"] == "close"
        )


class Wire:
    """A connection, byte by byte."""

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._kept = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def send(self, *pieces: bytes) -> None:
        """Send each piece in its own segment, until the server has closed."""
        with suppress(OSError):
            for piece in pieces:
                self._sock.sendall(piece)

    def flood(self, piece: bytes, most: int) -> int:
        """Send a piece repeatedly until the server refuses more; returns the bytes sent."""
        sent = 0
        with suppress(OSError):
            while sent < most:
                sent += self._sock.send(piece)
        return sent

    def drip(self, data: bytes, seconds: float) -> int:
        """Send byte by byte until the server reacts; returns the number of bytes sent."""
        self._sock.settimeout(seconds)
        for number, byte in enumerate(data):
            with suppress(TimeoutError, OSError):
                self._sock.sendall(bytes([byte]))
            if self.is_answered():
                self._sock.settimeout(TIMEOUT)
                return number + 1
        self._sock.settimeout(TIMEOUT)
        return len(data)

    def is_answered(self) -> bool:
        """Whether the server responds or closes before the socket's timeout."""
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def stays_open(self, seconds: float) -> bool:
        """Whether the server neither responds nor closes within this time."""
        self._sock.settimeout(seconds)
        open_ = not self.is_answered()
        self._sock.settimeout(TIMEOUT)
        return open_

    def answer(self, pause: float = 0) -> Answer:
        """The next response, read with a pause before each piece of it."""
        head = self._until(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(":")
            assert name.lower() not in headers
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        while len(self._kept) < length:
            time.sleep(pause)
            self._read()
        body, self._kept = self._kept[:length], self._kept[length:]
        return Answer(status, headers, body)

    def ends(self) -> bool:
        """Whether the server closes the connection without sending anything else."""
        try:
            return self._kept == b"" and self._sock.recv(1) == b""
        except ConnectionError:
            # The server closed before it read all the data that was sent.
            return True

    def _until(self, mark: bytes) -> bytes:
        while mark not in self._kept:
            self._read()
        found, _, self._kept = self._kept.partition(mark)
        return found

    def _read(self) -> None:
        data = self._sock.recv(65536)
        assert data, self._kept
        self._kept += data
