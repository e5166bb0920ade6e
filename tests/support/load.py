"""Many visitors at once, their results, and the resources that a process uses."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.settings import ORIGIN
from tests.support.waiting import TIMEOUT

IDLE_SECONDS = 0.1


@dataclass
class Tally:
    """The results of requests."""

    answers: Counter[tuple[int, str]] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    refused: int = 0
    idle: int = 0
    slowest: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def statuses(self) -> Counter[int]:
        """The number of answers by status."""
        statuses: Counter[int] = Counter()
        for (status, _), count in self.answers.items():
            statuses[status] += count
        return statuses

    def answered(self, status: int, code: str, seconds: float) -> None:
        with self._lock:
            self.answers[status, code] += 1
            self.slowest = max(self.slowest, seconds)

    def lose(self, error: Exception) -> None:
        with self._lock:
            self.lost.append(repr(error))

    def refuse(self) -> None:
        with self._lock:
            self.refused += 1

    def find_idle(self) -> None:
        with self._lock:
            self.idle += 1


class Visitor:
    """Requests a grant repeatedly, and stops when the port refuses connections.

    Args:
        port: where the service listens.
        tally: collects the results.
        keep: whether to reuse a connection as long as the service keeps it open.
        path: the path to request.
    """

    def __init__(
        self, port: int, tally: Tally, *, keep: bool = False, path: str = "/request_tokens"
    ) -> None:
        self._port = port
        self._tally = tally
        self._keep = keep
        self._path = path
        self._connection: http.client.HTTPConnection | None = None
        self._free_since = 0.0

    def ask(self) -> bool:
        """Send a request; return whether another one makes sense."""
        began = time.monotonic()
        reused = self._connection is not None
        connection = self._connection or http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=TIMEOUT
        )
        self._connection = None
        try:
            if not reused:
                connection.connect()
        except OSError:
            connection.close()
            self._tally.refuse()
            return False
        try:
            close = {} if self._keep else {"Connection": "close"}
            connection.request("GET", self._path, headers={"Origin": ORIGIN, **close})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            # A server may close an idle connection. On a busy machine this visitor may have let
            # its connection become idle.
            if reused and began - self._free_since > IDLE_SECONDS:
                self._tally.find_idle()
            else:
                self._tally.lose(error)
            return True
        self._tally.answered(answer.status, _code(text), time.monotonic() - began)
        if self._keep and not answer.will_close:
            self._connection, self._free_since = connection, time.monotonic()
        else:
            connection.close()
        return True

    def leave(self) -> None:
        if self._connection is not None:
            self._connection.close()


@contextmanager
def crowd(*visitors: Visitor) -> Iterator[threading.Event]:
    """A thread for each visitor, until the block ends; setting the event stops them earlier."""
    over = threading.Event()

    def visit(visitor: Visitor) -> None:
        while not over.is_set() and visitor.ask():
            pass
        visitor.leave()

    threads = [threading.Thread(target=visit, args=(visitor,)) for visitor in visitors]
    for thread in threads:
        thread.start()
    try:
        yield over
    finally:
        over.set()
        for thread in threads:
            thread.join(2 * TIMEOUT)
        assert not any(thread.is_alive() for thread in threads)


def rush(port: int, threads: int, each: int, *, keep: bool = True) -> Tally:
    """Send a fixed number of requests by several visitors at once."""
    tally = Tally()

    def visit() -> None:
        visitor = Visitor(port, tally, keep=keep)
        for _ in range(each):
            visitor.ask()
        visitor.leave()

    workers = [threading.Thread(target=visit) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(each * TIMEOUT)
    return tally


def is_refused(port: int) -> bool:
    """Whether the port refuses connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def resident_mebibytes(pid: int, line: str = "VmRSS") -> float:
    """The resident memory of a process; with `VmHWM` its maximum so far."""
    for text in Path(f"/proc/{pid}/status").read_text().splitlines():
        if text.startswith(f"{line}:"):
            return int(text.split()[1]) / 1024
    raise AssertionError(line)


def open_files(pid: int) -> int:
    """Open file descriptors of a process."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads_of(pid: int) -> int:
    """Threads of a process."""
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def children_of(pid: int) -> list[int]:
    """Processes that a process has started."""
    children = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError, IndexError):
            if int((entry / "stat").read_text().rpartition(")")[2].split()[1]) == pid:
                children.append(int(entry.name))
    return children


def _code(text: bytes) -> str:
    """The `code` of an error, without parsing a body that may be large."""
    _, found, rest = text.partition(b'"code":"')
    return rest.split(b'"')[0].decode("ascii") if found else ""
