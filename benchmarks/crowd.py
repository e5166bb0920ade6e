"""Simulate visitors who request tokens at the same moment, on open connections.

One thread with a selector handles them all: threads or tasks would take longer than the answers.
"""

from __future__ import annotations

import re
import resource
import selectors
import socket
import time
from contextlib import ExitStack
from dataclasses import dataclass, field

from benchmarks.servers import ORIGIN

__all__ = ["Visit", "allow_files", "crowd"]

PATIENCE = 30
_HEAD = re.compile(
    rb"HTTP/1\.1 (\d{3}).*?\r\ncontent-length: (\d+)(?=\r\n).*?\r\n\r\n", re.S | re.I
)


@dataclass(slots=True)
class Visit:
    """One visitor.

    Attributes:
        seconds: time from the request to the end of the answer.
        status: HTTP status of the answer; 0 if there is none.
        body: body of the answer.
    """

    seconds: float = 0
    status: int = 0
    body: bytes = b""
    asked: float = 0
    received: bytearray = field(default_factory=bytearray)

    def take(self, data: bytes) -> bool:
        """Add received data; return whether the answer is complete or the connection has ended."""
        self.received += data
        head = _HEAD.match(self.received)
        if head and len(self.received) == head.end() + int(head[2]):
            self.seconds = time.perf_counter() - self.asked
            self.status, self.body = int(head[1]), bytes(self.received[head.end() :])
        return bool(self.status) or not data


def crowd(port: int, size: int, path: str = "/request_tokens") -> list[Visit]:
    """Send the requests of `size` visitors at once, and return their visits."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nOrigin: {ORIGIN}\r\n\r\n".encode()
    visits = [Visit() for _ in range(size)]
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            for _ in visits
        ]
        for pair in zip(sockets, visits, strict=True):
            selector.register(pair[0], selectors.EVENT_READ, pair)
        # Gives the server time to accept the connections.
        time.sleep(0.2)
        for sock, visit in zip(sockets, visits, strict=True):
            visit.asked = time.perf_counter()
            sock.sendall(request)
        waiting = size
        while waiting and (events := selector.select(PATIENCE)):
            for key, _ in events:
                sock, visit = key.data
                if visit.take(_received(sock)):
                    selector.unregister(sock)
                    waiting -= 1
    return visits


def _received(sock: socket.socket) -> bytes:
    try:
        return sock.recv(65536)
    except ConnectionError:
        return b""


def allow_files(count: int) -> None:
    """Let this process, and its future children, open this many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
