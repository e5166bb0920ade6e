"""The helpers that many tests use."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import requests
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.support.clocks import in_a_loop, in_virtual_time
from tests.support.load import is_refused
from tests.support.servers import serving
from tests.support.share import Share
from tests.support.waiting import TIMEOUT, until, until_async


def test_shared_folder_is_made_once_and_read_only(tmp_path: Path) -> None:
    made: list[Path] = []
    others: list[Future[Path]] = []

    def make(folder: Path) -> None:
        made.append(folder)
        if len(made) == 1:
            others.extend(pool.submit(Share(tmp_path).made, "thing", make) for _ in range(3))
            # Without the lock, another worker would also have made it by now.
            assert not wait(others, 0.2, FIRST_COMPLETED).done
        folder.mkdir()
        (folder / "file").write_text("made")

    with ThreadPoolExecutor(3) as pool:
        folder = Share(tmp_path).made("thing", make)

    assert {other.result() for other in others} == {folder}
    assert made == [folder]
    assert (folder / "file").read_text() == "made"
    assert {path.stat().st_mode & 0o222 for path in (folder, folder / "file")} == {0}


def test_failed_shared_folder_is_made_again(tmp_path: Path) -> None:
    share = Share(tmp_path)
    with pytest.raises(ZeroDivisionError):
        share.made("thing", lambda _: 1 / 0)

    assert share.made("thing", Path.mkdir).is_dir()


def test_server_finishes_pending_requests_when_it_stops() -> None:
    begun = threading.Event()

    async def finish(request: Request) -> PlainTextResponse:
        begun.set()
        await asyncio.to_thread(until, lambda: is_refused(request.url.port or 0))
        return PlainTextResponse("finished")

    with ThreadPoolExecutor(1) as pool:
        with serving(Starlette(routes=[Route("/", finish)])) as url:
            answer = pool.submit(requests.get, url, timeout=TIMEOUT)
            assert begun.wait(TIMEOUT)
        assert answer.result(TIMEOUT).text == "finished"


def test_server_with_an_idle_connection_stops_cleanly() -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        steps.append("up")
        yield
        steps.append("down")

    with requests.Session() as visitor, serving(Starlette(lifespan=lifespan)) as url:
        assert visitor.get(url, timeout=TIMEOUT).status_code == 404
        assert steps == ["up"]
    assert steps == ["up", "down"]


def test_until_fails_after_its_timeout() -> None:
    with pytest.raises(AssertionError, match="not within 0 seconds"):
        until(lambda: False, 0)

    async def never() -> None:
        with pytest.raises(AssertionError, match="not within 60 seconds"):
            await until_async(lambda: False, 60)

    in_virtual_time(never())


def test_in_a_loop_raises_a_timeout() -> None:
    with pytest.raises(TimeoutError):
        in_a_loop(asyncio.sleep(TIMEOUT), 0)
