"""The benchmarks' own tools: that they see what they measure. Nothing here is timed."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.crowd import crowd
from tests.support.servers import serving

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        env={"PATH": ""},
        capture_output=True,
        text=True,
    )


def test_what_cannot_be_measured_says_why() -> None:
    found = run("service", "--measures", "direct", "memory")

    assert found.returncode == 0, found.stderr
    assert found.stdout.splitlines() == [
        "wrk is missing, so direct is left out: apt-get install wrk",
        "wrk is missing, so memory is left out: apt-get install wrk",
    ]


@pytest.mark.parametrize("arguments", [["nothing"], ["service", "--measures", "nothing"]])
def test_names_that_do_not_exist(arguments: list[str]) -> None:
    assert run(*arguments).returncode == 2


def test_a_crowd_sees_every_answer() -> None:
    numbers = itertools.count()

    async def answer(_: Request) -> Response:
        number = next(numbers)
        return JSONResponse({"number": number}, 200 if number % 5 else 503)

    with serving(Starlette(routes=[Route("/request_tokens", answer)])) as url:
        visits = crowd(urlsplit(url).port or 0, 40)

    assert sorted(visit.status for visit in visits) == [200] * 32 + [503] * 8
    assert len({visit.body for visit in visits}) == 40
    assert all(visit.seconds > 0 for visit in visits)


def test_a_crowd_sees_who_is_turned_away() -> None:
    async def close(_: Request) -> Response:
        return Response(b"{", headers={"Content-Length": "1000"})

    with serving(Starlette(routes=[Route("/request_tokens", close)])) as url:
        visits = crowd(urlsplit(url).port or 0, 3)

    assert [visit.status for visit in visits] == [0, 0, 0]
