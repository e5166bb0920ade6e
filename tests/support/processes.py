"""Real commands in their own processes, with all their output."""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

SCRIPTS = Path(sys.executable).parent
# Variables for a Python without the features that Windows lacks.
BARE_PLATFORM = {"PYTHONPATH": str(Path(__file__).parent / "bare_platform")}

# A shell's background jobs ignore these signals, and new processes inherit that. A signal with a
# handler gets its default back in a new process (POSIX, exec).
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)


class Command:
    """A running command; `output` is its output so far, on both streams."""

    def __init__(self, *arguments: str, **variables: str) -> None:
        environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AVATAR", "SENTIFYD", "SANDBOX"))
        }
        self._process = subprocess.Popen(
            [str(SCRIPTS / arguments[0]), *arguments[1:]],
            env={**environ, "PYTHONUNBUFFERED": "1", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._kept: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self.stop()
        else:
            self.wait()

    @property
    def output(self) -> str:
        return "".join(self._kept)

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_for(self, pattern: str, seconds: float = 60) -> re.Match[str]:
        """Wait for the first match in the lines that follow."""
        while (line := self._lines.get(timeout=seconds)) is not None:
            if match := re.search(pattern, line):
                return match
        raise AssertionError(f"{pattern} did not appear:\n{self.output}")

    def port(self) -> int:
        """The port that a token service logs."""
        return int(self.wait_for(r'"port": ?(\d+)')[1])

    def wait(self, seconds: float = 30) -> int:
        """Wait until the command ends by itself, and return its exit status."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            # Otherwise the process would block later tests.
            self.send(signal.SIGKILL)
            raise
        self._reader.join(seconds)
        assert self._process.stdout
        self._process.stdout.close()
        return status

    def send(self, number: signal.Signals) -> None:
        """Send a signal as a terminal does: to the whole group."""
        os.killpg(self._process.pid, number)

    def freeze(self) -> None:
        """Stop it, as a machine that sleeps does; returns when it no longer runs."""
        self.send(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.send(number)
        return self.wait()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            self._kept.append(line)
            self._lines.put(line)
        self._lines.put(None)


def group_is_empty(pid: int) -> bool:
    """Whether no process of the command's group is left."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    return False
