"""Host names of the login server: several addresses, and a DNS that does not answer."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import uvloop

from edge_service.errors import UpstreamTooSlow, UpstreamUnreachable
from edge_service.upstream.resolver import THREADS, Resolver
from tests.support.clocks import in_a_loop
from tests.support.servers import RawUpstream, http_answer
from tests.support.settings import login_to
from tests.support.waiting import TIMEOUT, until

GRANT = b'{"access_token": "a", "refresh_token": "r", "avatar_params": {}}'
NAME = "login.example.com"
LOOPS = pytest.mark.parametrize(
    "loop_factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)
LoopFactory = Callable[[], asyncio.AbstractEventLoop]

system = socket.getaddrinfo


def answer(connection: socket.socket) -> None:
    connection.sendall(http_answer("200 OK", GRANT))


@pytest.fixture
def upstream() -> Iterator[RawUpstream]:
    with RawUpstream(answer) as upstream:
        yield upstream


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """IPv4 addresses by host name, in place of DNS."""
    addresses: dict[str, list[str]] = {}

    def look_up(host: str, port: int, *more: Any, **options: Any) -> list[Any]:  # noqa: ANN401
        if host not in addresses:
            return system(host, port, *more, **options)
        kind = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        return [(*kind, (address, port)) for address in addresses[host]]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return addresses


@contextmanager
def dropping(address: str, port: int) -> Iterator[None]:
    """An address where connections get no answer, because the queue of the listener is full."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex((address, port))
        yield


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names that were looked up while DNS does not answer."""
    asked: list[str] = []
    over = threading.Event()

    def look_up(host: str, *more: Any, **options: Any) -> list[Any]:  # noqa: ANN401
        if over.is_set():
            return system(host, *more, **options)
        asked.append(host)
        over.wait(TIMEOUT)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    yield asked
    over.set()
    until(lambda: not resolver_threads())


def resolver_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "sentifyd-dns"]


@LOOPS
def test_second_address_is_tried_if_the_first_drops_packets(
    upstream: RawUpstream, names: dict[str, list[str]], loop_factory: LoopFactory
) -> None:
    port = int(upstream.url.rpartition(":")[2])
    names[NAME] = ["127.0.0.2", "127.0.0.1"]

    async def log_in() -> None:
        login, client = login_to(f"http://{NAME}:{port}", timeout=TIMEOUT)
        grant = await login.login()
        await client.aclose()
        assert grant.access_token == "a"

    with dropping("127.0.0.2", port):
        in_a_loop(log_in(), loop_factory=loop_factory)


@LOOPS
def test_every_address_that_drops_packets_costs_one_deadline(
    names: dict[str, list[str]], loop_factory: LoopFactory
) -> None:
    async def log_in(port: int) -> None:
        login, client = login_to(f"http://{NAME}:{port}", timeout=1, concurrency=1)
        for _ in range(2):
            with pytest.raises(UpstreamTooSlow):
                await login.login()
        await client.aclose()

    names[NAME] = ["127.0.0.2", "127.0.0.3"]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with dropping("127.0.0.2", port), dropping("127.0.0.3", port):
            in_a_loop(log_in(port), loop_factory=loop_factory)


@LOOPS
def test_hanging_lookup_delays_neither_the_answer_nor_the_shutdown(
    hanging: list[str], loop_factory: LoopFactory
) -> None:
    """The event loop waits for the threads of its own executor when it ends."""
    ended = threading.Event()

    async def log_in() -> None:
        login, client = login_to(f"http://{NAME}", timeout=0.3)
        with pytest.raises(UpstreamTooSlow):
            await login.login()
        await client.aclose()

    def run() -> None:
        in_a_loop(log_in(), loop_factory=loop_factory)
        ended.set()

    thread = threading.Thread(target=run)
    thread.start()
    # Half of the time for which the lookup hangs.
    assert ended.wait(TIMEOUT / 2)
    thread.join()
    assert hanging == [NAME]
    assert resolver_threads() != []


def test_hanging_lookups_occupy_few_threads(hanging: list[str]) -> None:
    async def log_in() -> None:
        logins = [login_to(f"http://{number}.{NAME}", timeout=0.3) for number in range(20)]
        results = await asyncio.gather(
            *(login.login() for login, _ in logins), return_exceptions=True
        )
        assert {type(result) for result in results} == {UpstreamTooSlow}
        assert len(resolver_threads()) == THREADS
        for _, client in logins:
            await client.aclose()

    in_a_loop(log_in())
    # The others had been given up before a thread was free.
    assert len(hanging) == THREADS


def test_names_resolve_again_after_lookups_hung(
    upstream: RawUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def hang(*_: object, **__: object) -> None:
        over.wait(TIMEOUT)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    async def log_in() -> None:
        logins = [login_to(f"http://{number}.{NAME}", timeout=0.3) for number in range(THREADS)]
        await asyncio.gather(*(login.login() for login, _ in logins), return_exceptions=True)
        monkeypatch.setattr(socket, "getaddrinfo", system)
        login, client = login_to(upstream.url.replace("127.0.0.1", "localhost"), timeout=TIMEOUT)
        pending = asyncio.create_task(login.login())
        over.set()
        assert (await pending).access_token == "a"
        for one in (client, *(client for _, client in logins)):
            await one.aclose()

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    in_a_loop(log_in())


def test_unknown_name_is_unreachable() -> None:
    async def log_in() -> None:
        login, client = login_to("http://no-such-host.invalid", timeout=TIMEOUT)
        with pytest.raises(UpstreamUnreachable) as caught:
            await login.login()
        await client.aclose()
        assert caught.value.cause == "gaierror"

    in_a_loop(log_in())


def test_no_thread_for_a_lookup_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def log_in() -> None:
        login, client = login_to(f"http://{NAME}", timeout=TIMEOUT)
        with pytest.raises(UpstreamUnreachable):
            await login.login()
        await client.aclose()

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def run() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", no_thread)
            await log_in()

    in_a_loop(run())


def test_addresses_are_those_of_the_system() -> None:
    async def look_up() -> None:
        found = await Resolver().resolve("localhost", 80)
        expected = system("localhost", 80, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        assert [(one["host"], one["port"]) for one in found] == [
            (address[0], address[1]) for *_, address in expected
        ]

    in_a_loop(look_up())


def test_link_local_address_keeps_its_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object, **__: object) -> list[object]:
        return [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 80, 0, 3))]

    async def resolve() -> None:
        [found] = await Resolver().resolve(NAME, 80)
        assert found["host"] == "fe80::1%3"

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    in_a_loop(resolve())
