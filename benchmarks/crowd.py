"""Visitors who all ask at the same moment, on connections that are open by then.

One thread with a selector serves them all: threads or tasks would take longer than the answers.
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
REQUEST = f"GET /request_tokens HTTP/1.1\r\nHost: localhost\r\nOrigin: {ORIGIN}\r\n\r\n".encode()
_HEAD = re.compile(
    rb"HTTP/1\.1 (\d{3}).*?\r\ncontent-length: (\d+)(?=\r\n).*?\r\n\r\n", re.S | re.I
)


@dataclass(slots=True)
class Visit:
    """One visitor.

    Attributes:
        seconds: from the question to the end of the answer.
        status: of the answer; 0 as long as there is none.
        body: of the answer.
    """

    seconds: float = 0
    status: int = 0
    body: bytes = b""
    asked: float = 0
    received: bytearray = field(default_factory=bytearray)

    def take(self, data: bytes) -> bool:
        """Whether the answer is complete with this piece, or will never be."""
        self.received += data
        head = _HEAD.match(self.received)
        if head and len(self.received) == head.end() + int(head[2]):
            self.seconds = time.perf_counter() - self.asked
            self.status, self.body = int(head[1]), bytes(self.received[head.end() :])
        return bool(self.status) or not data


def crowd(port: int, size: int) -> list[Visit]:
    """As many visitors at once."""
    visits = [Visit() for _ in range(size)]
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        sockets = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
            for _ in visits
        ]
        for pair in zip(sockets, visits, strict=True):
            selector.register(pair[0], selectors.EVENT_READ, pair)
        # The server has taken the connections by then.
        time.sleep(0.2)
        for sock, visit in zip(sockets, visits, strict=True):
            visit.asked = time.perf_counter()
            sock.sendall(REQUEST)
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
    """Let this process, and those that it starts from now on, open as many files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(count, hard), hard))
