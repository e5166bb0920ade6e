"""The tools that many tests rely on."""

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
from tests.support.waiting import PATIENCE, until, until_async


def test_what_is_shared_is_made_once_and_stays_as_it_is(tmp_path: Path) -> None:
    made: list[Path] = []
    others: list[Future[Path]] = []

    def make(folder: Path) -> None:
        made.append(folder)
        if len(made) == 1:
            others.extend(pool.submit(Share(tmp_path).made, "thing", make) for _ in range(3))
            # Without the lock one of them would make it as well by then.
            assert not wait(others, 0.2, FIRST_COMPLETED).done
        folder.mkdir()
        (folder / "file").write_text("made")

    with ThreadPoolExecutor(3) as pool:
        folder = Share(tmp_path).made("thing", make)

    assert {other.result() for other in others} == {folder}
    assert made == [folder]
    assert (folder / "file").read_text() == "made"
    assert {path.stat().st_mode & 0o222 for path in (folder, folder / "file")} == {0}


def test_what_could_not_be_made_is_tried_again(tmp_path: Path) -> None:
    share = Share(tmp_path)
    with pytest.raises(ZeroDivisionError):
        share.made("thing", lambda _: 1 / 0)

    assert share.made("thing", Path.mkdir).is_dir()


def test_a_server_finishes_what_is_under_way() -> None:
    begun = threading.Event()

    async def finish(request: Request) -> PlainTextResponse:
        begun.set()
        await asyncio.to_thread(until, lambda: is_refused(request.url.port or 0))
        return PlainTextResponse("finished")

    with ThreadPoolExecutor(1) as pool:
        with serving(Starlette(routes=[Route("/", finish)])) as url:
            answer = pool.submit(requests.get, url, timeout=PATIENCE)
            assert begun.wait(PATIENCE)
        assert answer.result(PATIENCE).text == "finished"


def test_a_server_with_an_idle_connection_stops_and_closes_its_application() -> None:
    steps: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        steps.append("up")
        yield
        steps.append("down")

    with requests.Session() as visitor, serving(Starlette(lifespan=lifespan)) as url:
        assert visitor.get(url, timeout=PATIENCE).status_code == 404
        assert steps == ["up"]
    assert steps == ["up", "down"]


def test_waiting_in_vain_fails() -> None:
    with pytest.raises(AssertionError, match="not within 0 seconds"):
        until(lambda: False, 0)

    async def in_vain() -> None:
        with pytest.raises(AssertionError, match="not within 3600 seconds"):
            await until_async(lambda: False, 3600)

    in_virtual_time(in_vain())


def test_a_loop_that_takes_too_long_is_ended() -> None:
    with pytest.raises(TimeoutError):
        in_a_loop(asyncio.sleep(PATIENCE), 0)
