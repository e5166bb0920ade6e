"""Writes log lines to standard output without blocking the event loop."""

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

# A pipe that polls as writable accepts this much without blocking (POSIX, PIPE_BUF).
PIECE_BYTES = 4096
# A thread may block, and smaller pieces would only make it take the GIL more often.
THREAD_PIECE_BYTES = 64 * 1024
MAX_BUFFERED_BYTES = 1024 * 1024
FLUSH_SECONDS = 0.01
WRITE_RETRY_SECONDS = 0.1
FINAL_FLUSH_SECONDS = 1.0


class LogOutput(ABC):
    """A text stream that never blocks the event loop.

    Without it, a stalled reader would stop the whole service. Up to one mebibyte of lines is
    buffered, and further lines are dropped. The line `log_lines_lost` then reports how many.
    """

    def __init__(self) -> None:
        # Libraries also log from other threads. Reentrant, because the garbage collector may run a
        # destructor that logs while this thread holds the lock.
        self._counts = threading.RLock()
        self._lines: list[bytes] = []
        self._size = 0
        self._lost = 0
        self._flush_is_due = False
        atexit.register(self._end)

    def write(self, text: str) -> None:
        """Buffer a text until the next flush."""
        line = text.encode("utf-8", "replace")
        with self._counts:
            if self._size > MAX_BUFFERED_BYTES:
                self._lost += 1
                return
            self._lines.append(line)
            self._size += len(line)

    @abstractmethod
    def flush(self) -> None:
        """Write all buffered lines soon."""

    @abstractmethod
    def _end(self) -> None:
        """Write the remaining lines before the process ends."""

    def _more(self) -> bytes:
        """Take the buffered lines; their size counts until `_done` is called."""
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
        """The file descriptor to write to; without one, write the lines and return `None`."""
        try:
            return sys.stdout.fileno()
        except (AttributeError, OSError, ValueError):
            # Not a file, as when a test captures the output, or no output (`sys.stdout` is None).
            # Neither can block.
            data = self._more()
            with suppress(AttributeError, OSError, ValueError):
                sys.stdout.write(data.decode("utf-8"))
                sys.stdout.flush()
            self._done(len(data))
            return None


class PollOutput(LogOutput):
    """Writes in the event loop when `poll` reports that it will not block. The faster one."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = b""
        self._writing = threading.Lock()

    def flush(self) -> None:
        """Write all buffered lines: soon in a running event loop, otherwise now."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._flush(FINAL_FLUSH_SECONDS)
            return
        if not self._flush_is_due:
            self._flush_is_due = True
            loop.call_later(FLUSH_SECONDS, self._flush_in, loop)

    def _flush_in(self, loop: asyncio.AbstractEventLoop) -> None:
        self._flush_is_due = False
        self._flush(0)
        if (self._waiting or self._lines) and not self._flush_is_due:
            self._flush_is_due = True
            loop.call_later(WRITE_RETRY_SECONDS, self._flush_in, loop)

    def _flush(self, patience: float) -> None:
        # The event loop must not wait while another thread writes.
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
            # The reader is gone, and a lost line must not fail a request.
            self._done(len(data))
            data = b""
        self._waiting = data

    def _end(self) -> None:
        self._flush(FINAL_FLUSH_SECONDS)


class ThreadOutput(LogOutput):
    """Writes in a separate thread, for platforms without `poll`, such as Windows.

    The thread is a daemon, so that a blocked write does not keep the process alive.
    """

    def __init__(self) -> None:
        super().__init__()
        # True writes, False ends the thread. Unlike an Event it is reentrant, because a destructor
        # may log at any time.
        self._orders: queue.SimpleQueue[bool] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def flush(self) -> None:
        """Write all buffered lines soon; never blocks."""
        if not self._flush_is_due:
            self._flush_is_due = True
            self._orders.put(True)

    def _run(self) -> None:
        while self._orders.get():
            # Wait a little, so that one write takes several lines.
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
                time.sleep(WRITE_RETRY_SECONDS)
                continue
            except OSError:
                # The reader is gone.
                count = len(data)
            self._done(count)
            data = data[count:] or self._more()

    def _end(self) -> None:
        self._orders.put(False)
        self._thread.join(FINAL_FLUSH_SECONDS)


def log_output() -> LogOutput:
    """The log output for this platform."""
    return PollOutput() if hasattr(select, "poll") else ThreadOutput()
