"""Where log lines go: standard output, for as long as somebody reads it."""

from __future__ import annotations

import asyncio
import atexit
import os
import select
import sys
import threading
from contextlib import suppress

__all__ = ["LogOutput"]

# What a pipe that polls as writable takes without blocking (POSIX, PIPE_BUF).
PIECE_BYTES = 4096
MAX_WAITING = 1024 * 1024
FLUSH_SECONDS = 0.01
RETRY_SECONDS = 0.1
LAST_SECONDS = 1.0


class LogOutput:
    """A text stream that never makes its writer wait.

    A reader that stalls would otherwise stop the event loop, and with it the whole service. Lines
    wait for it up to a mebibyte; what comes beyond that is lost, and counted.
    """

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._waiting = b""
        self._size = 0
        self._lost = 0
        self._flush_is_due = False
        self._lock = threading.Lock()
        atexit.register(self._end)

    def write(self, text: str) -> None:
        """Keep a text until the next flush."""
        if self._size > MAX_WAITING:
            self._lost += 1
            return
        self._lines.append(text)
        self._size += len(text)

    def flush(self) -> None:
        """At once, or within an event loop soon, for all the lines until then."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._flush(LAST_SECONDS)
            return
        if not self._flush_is_due:
            self._flush_is_due = True
            loop.call_later(FLUSH_SECONDS, self._flush_in, loop)

    def _flush_in(self, loop: asyncio.AbstractEventLoop) -> None:
        self._flush_is_due = False
        self._flush(0)
        if (self._waiting or self._lines) and not self._flush_is_due:
            self._flush_is_due = True
            loop.call_later(RETRY_SECONDS, self._flush_in, loop)

    def _flush(self, patience: float) -> None:
        # Libraries log from threads of their own, too; the event loop waits for none of them.
        if self._lock.acquire(blocking=patience > 0):
            try:
                self._write(patience)
            finally:
                self._lock.release()

    def _write(self, patience: float) -> None:
        text, self._lines = "".join(self._lines), []
        if sys.stdout is None:
            self._size = 0
            return
        try:
            descriptor = sys.stdout.fileno()
        except (OSError, ValueError):
            # Not a file, as when a test captures it: nobody can stall.
            self._size = 0
            with suppress(OSError, ValueError):
                sys.stdout.write(text)
                sys.stdout.flush()
            return
        data = self._waiting + text.encode("utf-8", "replace")
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        try:
            while data and poll.poll(patience * 1000):
                data = data[os.write(descriptor, data[:PIECE_BYTES]) :]
                if not data and self._lost:
                    data = b'{"event": "log_lines_lost", "lines": %d}\n' % self._lost
                    self._lost = 0
        except OSError:
            # Nobody reads it any more: a lost line must not cost a request.
            data = b""
        self._waiting = data
        self._size = len(data)

    def _end(self) -> None:
        self._flush(LAST_SECONDS)
