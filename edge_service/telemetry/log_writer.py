"""Where log lines go: standard output, for as long as somebody reads it."""

from __future__ import annotations

import asyncio
import atexit
import os
import queue
import select
import sys
import threading
import time
from abc import ABC, abstractmethod
from contextlib import suppress

__all__ = ["LogOutput", "PollOutput", "ThreadOutput", "log_output"]

# What a pipe that polls as writable takes without blocking (POSIX, PIPE_BUF).
PIECE_BYTES = 4096
# A thread may block; smaller pieces would only make it ask for the GIL more often.
THREAD_PIECE_BYTES = 64 * 1024
MAX_WAITING = 1024 * 1024
FLUSH_SECONDS = 0.01
RETRY_SECONDS = 0.1
LAST_SECONDS = 1.0


class LogOutput(ABC):
    """A text stream that never makes the event loop wait.

    A reader that stalls would otherwise stop the event loop, and with it the whole service. Up to
    a mebibyte of lines waits for the reader. Further lines are dropped; after the lines that
    waited, `log_lines_lost` reports how many.
    """

    def __init__(self) -> None:
        # Libraries log from threads of their own. Reentrant, because the garbage collector may
        # run a destructor that logs while this very thread holds the lock.
        self._counts = threading.RLock()
        self._lines: list[bytes] = []
        self._size = 0
        self._lost = 0
        self._flush_is_due = False
        atexit.register(self._end)

    def write(self, text: str) -> None:
        """Keep a text for the next flush."""
        line = text.encode("utf-8", "replace")
        with self._counts:
            if self._size > MAX_WAITING:
                self._lost += 1
                return
            self._lines.append(line)
            self._size += len(line)

    @abstractmethod
    def flush(self) -> None:
        """Have all the lines until then written soon."""

    @abstractmethod
    def _end(self) -> None:
        """Write what is left before the process ends."""

    def _more(self) -> bytes:
        """The lines that wait, and how many were lost; their size counts until `_done` gets it."""
        with self._counts:
            lines, self._lines = self._lines, []
            if self._lost:
                report = b'{"event": "log_lines_lost", "lines": %d}\n' % self._lost
                lines.append(report)
                self._size += len(report)
                self._lost = 0
        return b"".join(lines)

    def _done(self, size: int) -> None:
        with self._counts:
            self._size -= size

    def _descriptor(self) -> int | None:
        """The file to write to; `None` where there is none, and the lines are written already."""
        try:
            return sys.stdout.fileno()
        except (AttributeError, OSError, ValueError):
            # No file, as when a test captures it, or no output at all (`sys.stdout` is None):
            # nothing here can stall.
            data = self._more()
            with suppress(AttributeError, OSError, ValueError):
                sys.stdout.write(data.decode("utf-8"))
                sys.stdout.flush()
            self._done(len(data))
            return None


class PollOutput(LogOutput):
    """Writes in the event loop, when `poll` says that the reader takes it. The faster one."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = b""
        self._writing = threading.Lock()

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
        # The event loop waits for no other thread that writes.
        if self._writing.acquire(blocking=patience > 0):
            try:
                self._write(patience)
            finally:
                self._writing.release()

    def _write(self, patience: float) -> None:
        descriptor = self._descriptor()
        if descriptor is None:
            return
        poll = select.poll()  # type: ignore[attr-defined, unused-ignore] # not on Windows
        poll.register(descriptor, select.POLLOUT)  # type: ignore[attr-defined, unused-ignore]
        data = self._waiting or self._more()
        try:
            while data and poll.poll(patience * 1000):
                count = os.write(descriptor, data[:PIECE_BYTES])
                self._done(count)
                data = data[count:] or self._more()
        except OSError:
            # Nobody reads it any more: a lost line must not cost a request.
            self._done(len(data))
            data = b""
        self._waiting = data

    def _end(self) -> None:
        self._flush(LAST_SECONDS)


class ThreadOutput(LogOutput):
    """Writes in a thread of its own, for platforms where no `poll` tells whether it would block.

    The thread is a daemon: one that hangs in a pipe that nobody reads keeps no process alive.
    """

    def __init__(self) -> None:
        super().__init__()
        # Whether to go on. A destructor may log at any time: unlike an Event, this is reentrant.
        self._orders: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def flush(self) -> None:
        """Soon, for all the lines until then; it never waits."""
        if not self._flush_is_due:
            self._flush_is_due = True
            self._orders.put(True)

    def _run(self) -> None:
        while self._orders.get():
            # Lines that come together are written together, as they are in an event loop.
            time.sleep(FLUSH_SECONDS)
            self._flush_is_due = False
            self._write()
        self._write()

    def _write(self) -> None:
        descriptor = self._descriptor()
        if descriptor is None:
            return
        data = self._more()
        while data:
            try:
                count = os.write(descriptor, data[:THREAD_PIECE_BYTES])
            except BlockingIOError:
                # Another process that shares the pipe may have made it non-blocking.
                time.sleep(RETRY_SECONDS)
                continue
            except OSError:
                # Nobody reads it any more.
                count = len(data)
            self._done(count)
            data = data[count:] or self._more()

    def _end(self) -> None:
        self._orders.put(False)
        self._thread.join(LAST_SECONDS)


def log_output() -> LogOutput:
    """The writer for this platform."""
    return PollOutput() if hasattr(select, "poll") else ThreadOutput()
