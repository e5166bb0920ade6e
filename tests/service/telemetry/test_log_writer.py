"""The log writers: the service must not wait for them, although a reader may be slow."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edge_service.telemetry.log_writer import (
    MAX_BUFFERED_BYTES,
    PollOutput,
    ThreadOutput,
    log_output,
)
from tests.support.waiting import TIMEOUT

# Several times as many lines as a pipe and a writer can buffer.
MANY = 3 * MAX_BUFFERED_BYTES // 100

BEGIN = """
import os, sys
from edge_service.telemetry.log_writer import ThreadOutput

output = ThreadOutput()

def log(count):
    for number in range(count):
        output.write(f"{number:099}\\n")
        output.flush()
    print("logged", file=sys.stderr, flush=True)
"""


def line(number: int) -> str:
    return f"{number:099}\n"


@contextmanager
def running(script: str, stdout: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """A process that first reports that it has logged all its lines."""
    with subprocess.Popen(
        [sys.executable, "-c", BEGIN + script],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # A missing line must fail the test, not block it forever.
        watchdog = threading.Timer(TIMEOUT, process.kill)
        watchdog.start()
        try:
            assert process.stderr
            assert process.stderr.readline() == "logged\n"
            yield process
        finally:
            watchdog.cancel()
            process.kill()


def test_writer_is_chosen_for_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(log_output(), PollOutput)

    monkeypatch.delattr(select, "poll")

    assert isinstance(log_output(), ThreadOutput)


def test_stalled_reader_delays_nothing_and_lost_lines_are_counted() -> None:
    script = f"log({MANY}); sys.stdin.readline(); log(1); sys.stdin.readline()"
    with running(script) as process:
        # It has logged them all without a reader, which is the first half of the test.
        assert process.stdin
        assert process.stdout
        kept: list[str] = []
        lost = 0
        while len(kept) + lost < MANY:
            text = process.stdout.readline()
            if text.startswith("{"):
                report = json.loads(text)
                assert report["event"] == "log_lines_lost"
                lost += report["lines"]
            else:
                assert text, "the process has ended"
                kept.append(text)
        assert lost > 0
        assert sum(map(len, kept)) > MAX_BUFFERED_BYTES
        assert kept == sorted(set(kept))
        assert kept[0] == line(0)
        assert len(kept) + lost == MANY

        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == line(0)

        process.stdin.close()
        assert process.wait(TIMEOUT) == 0
        assert process.stdout.read() == ""


def test_normal_exit_writes_every_line_in_order() -> None:
    count = MAX_BUFFERED_BYTES // 200
    with running(f"log({count})") as process:
        assert process.stdout
        assert process.stdout.read() == "".join(map(line, range(count)))
        assert process.wait(TIMEOUT) == 0


def test_stalled_reader_does_not_keep_the_process_alive() -> None:
    with running(f"log({MANY})") as process:
        # It waits a second for the reader; the rest is for a busy machine.
        assert process.wait(20) == 0
        assert process.stderr
        assert process.stderr.read() == ""


def test_closed_pipe_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with running("log(1000)", stdout=writer) as process:
            assert process.wait(20) == 0
            assert process.stderr
            assert process.stderr.read() == ""
    finally:
        os.close(writer)


def test_non_blocking_pipe_loses_no_line() -> None:
    count = MAX_BUFFERED_BYTES // 200
    script = f"os.set_blocking(1, False); log({count}); sys.stdin.readline()"
    with running(script) as process:
        assert process.stdin
        assert process.stdout
        assert [process.stdout.readline() for _ in range(count)] == [*map(line, range(count))]
        process.stdin.close()
        assert process.wait(TIMEOUT) == 0
