"""Draining: how a replica leaves a load balancer that probes it, and ends."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace

import pytest
import requests

from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from edge_service.server import serving
from tests.support.clocks import in_virtual_time
from tests.support.load import Tally, Visitor, is_refused
from tests.support.ports import free_port
from tests.support.processes import Command
from tests.support.service import Running
from tests.support.settings import KEY, ORIGIN
from tests.support.waiting import TIMEOUT, until

LONG = "600"
PROBE_SECONDS = 0.05


def serve(upstream: str, drain: str = LONG, **variables: str) -> Command:
    return Command(
        *("sentifyd-edge", "serve", "--port", "0"),
        **{
            "AVATAR_API_KEY": KEY,
            "ALLOWED_ORIGINS": ORIGIN,
            "RATE_LIMIT": "999999/day",
            "SENTIFYD_BACKEND": upstream,
            "DRAIN_SECONDS": drain,
            **variables,
        },
    )


def status(port: int, path: str) -> int:
    return requests.get(f"http://127.0.0.1:{port}{path}", timeout=TIMEOUT).status_code


class Balancer:
    """A load balancer: it probes every replica, and sends visitors only to those that are ready."""

    def __init__(self, ports: Sequence[int]) -> None:
        self.ready = list(ports)
        self.tallies = {port: Tally() for port in ports}
        self._ports = ports
        self._visits: Counter[int] = Counter()
        self._turn = 0
        self._lock = threading.Lock()
        self._over = threading.Event()

    @contextmanager
    def under_load(self, visitors: int) -> Iterator[None]:
        """Visitors, half of them with connections that stay open, until the block ends."""
        threads = [threading.Thread(target=self._probe)]
        threads += [
            threading.Thread(target=self._send_visitors, args=(number % 2 == 0,))
            for number in range(visitors)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join(2 * TIMEOUT)
            assert not any(thread.is_alive() for thread in threads)

    def has_left(self, port: int) -> bool:
        """Whether the replica gets no requests, and has answered all."""
        with self._lock:
            return port not in self.ready and not self._visits[port]

    def _probe(self) -> None:
        while not self._over.wait(PROBE_SECONDS):
            ready = []
            for port in self._ports:
                try:
                    answer = requests.get(f"http://127.0.0.1:{port}/readyz", timeout=TIMEOUT)
                except requests.RequestException:
                    continue
                if answer.status_code == 200:
                    ready.append(port)
            with self._lock:
                self.ready = ready

    def _send_visitors(self, keep: bool) -> None:
        visitors = {port: Visitor(port, tally, keep=keep) for port, tally in self.tallies.items()}
        while not self._over.is_set():
            with self._lock:
                self._turn += 1
                port = self.ready[self._turn % len(self.ready)]
                self._visits[port] += 1
            visitors[port].ask()
            with self._lock:
                self._visits[port] -= 1
        for visitor in visitors.values():
            visitor.leave()


@pytest.mark.stress
def test_replica_leaves_a_balancer_that_probes_it_without_a_failed_request(
    sandbox_url: str,
) -> None:
    with ExitStack() as stack:
        commands = [stack.enter_context(serve(sandbox_url)) for _ in range(2)]
        leaving, staying = (Running(command).port for command in commands)
        balancer = Balancer([leaving, staying])
        with balancer.under_load(8):
            until(lambda: all(t.statuses[200] > 50 for t in balancer.tallies.values()))
            before = balancer.tallies[leaving].statuses[200]
            commands[0].send(signal.SIGTERM)
            until(lambda: balancer.has_left(leaving))
            assert balancer.tallies[leaving].statuses[200] > before
            assert [status(leaving, path) for path in ("/livez", "/readyz")] == [200, 503]
            commands[0].send(signal.SIGTERM)
            assert commands[0].wait() == 0
            count = balancer.tallies[staying].statuses[200]
            until(lambda: balancer.tallies[staying].statuses[200] > count + 50)

    for tally in balancer.tallies.values():
        assert (tally.lost, tally.refused) == ([], 0)
        assert set(tally.statuses) == {200}
    assert is_refused(leaving)
    assert "Traceback" not in "".join(command.output for command in commands)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_both_ports_serve_until_a_second_signal(
    sandbox: Sandbox, sandbox_url: str, second: signal.Signals
) -> None:
    """A request that is running then is still answered."""
    metrics = free_port()
    with serve(sandbox_url, METRICS_PORT=str(metrics)) as command:
        service = Running(command)
        command.send(signal.SIGTERM)
        until(lambda: status(service.port, "/readyz") == 503)
        unready = requests.get(f"{service.base}/readyz", timeout=TIMEOUT)
        assert unready.json() == {"status": "draining"}
        assert [status(service.port, "/livez"), status(metrics, "/metrics")] == [200, 200]

        sandbox.fault = Fault("delay", seconds=1)
        answers: list[int] = []
        visitor = threading.Thread(target=lambda: answers.append(service.get().status_code))
        visitor.start()
        until(lambda: sandbox.logins == 1)
        command.send(second)
        visitor.join(TIMEOUT)
        assert command.wait() == 0

    assert answers == [200]
    assert is_refused(service.port)
    assert is_refused(metrics)
    assert '"seconds": 600.0, "event": "draining"' in command.output
    assert "Traceback" not in command.output


def test_service_ends_by_itself_when_the_time_is_over(sandbox_url: str) -> None:
    with serve(sandbox_url, drain="1") as command:
        command.port()
        began = time.monotonic()
        command.send(signal.SIGTERM)
        assert command.wait() == 0
        assert time.monotonic() - began > 1

    assert "Traceback" not in command.output


def test_end_of_the_time_does_not_cut_off_a_shutdown_that_a_signal_began() -> None:
    async def work() -> None:
        server = SimpleNamespace(config=SimpleNamespace(), should_exit=False, force_exit=False)
        stop = serving._Stop(
            [server],  # type: ignore[list-item]
            lambda: 5,
            lambda: 10,
            lambda: None,
        )
        stop.loop = asyncio.get_running_loop()
        stop(signal.SIGTERM, None)
        await asyncio.sleep(5)
        assert not server.should_exit
        stop(signal.SIGTERM, None)
        await asyncio.sleep(20)
        assert (server.should_exit, server.force_exit) == (True, False)

    in_virtual_time(work())


def test_sigint_does_not_drain(sandbox_url: str) -> None:
    with serve(sandbox_url) as command:
        command.port()
        assert command.stop(signal.SIGINT) == 0

    assert "draining" not in command.output
