"""The key is sent only under TLS and to the right host."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from edge_service.errors import UpstreamError, UpstreamTooSlow, UpstreamUnreachable
from edge_service.upstream.client import Client
from edge_service.upstream.connections import trusted
from edge_service.upstream.grant import Grant
from edge_service.upstream.logins import AvatarLogin
from tests.support.certificates import self_signed
from tests.support.processes import Command
from tests.support.servers import RawUpstream, http_answer
from tests.support.settings import KEY, ORIGIN, avatar_settings
from tests.support.tls import TLSUpstream

GRANT = json.dumps({"access_token": "a", "refresh_token": "r", "avatar_params": {}}).encode()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1; its key is in the same folder."""
    return self_signed(tmp_path_factory.mktemp("tls"), host="upstream.example")[0]


def log_in(url: str, verify: Path | None, times: int = 1) -> list[Grant | UpstreamError]:
    """The results of consecutive logins, with one slot and 2 s for each."""

    async def collect() -> list[Grant | UpstreamError]:
        outbound = Client(2, 1, trusted(verify))
        client = AvatarLogin(avatar_settings(api_key=KEY, login_url=url), outbound)
        results: list[Grant | UpstreamError] = []
        for _ in range(times):
            try:
                results.append(await client.login())
            except UpstreamError as error:
                results.append(error)
        await outbound.aclose()
        return results

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, collect()).result()


@pytest.fixture
def tls_upstream(certificate: Path) -> Iterator[TLSUpstream]:
    def behave(connection: ssl.SSLSocket) -> None:
        connection.sendall(http_answer("200 OK", GRANT))

    with TLSUpstream(certificate, behave) as upstream:
        yield upstream


def test_trusted_upstream_gets_the_key(tls_upstream: TLSUpstream, certificate: Path) -> None:
    (grant,) = log_in(tls_upstream.url, certificate)

    assert isinstance(grant, Grant)
    assert KEY.encode() in tls_upstream.received[0]


def test_upstream_with_an_unknown_certificate_gets_nothing(tls_upstream: TLSUpstream) -> None:
    (error,) = log_in(tls_upstream.url, None)

    assert isinstance(error, UpstreamUnreachable)
    assert b"".join(tls_upstream.received) == b""


def test_upstream_with_a_certificate_for_another_host_gets_nothing(
    tls_upstream: TLSUpstream, certificate: Path
) -> None:
    (error,) = log_in(tls_upstream.url.replace("127.0.0.1", "localhost"), certificate)

    assert isinstance(error, UpstreamUnreachable)
    assert b"".join(tls_upstream.received) == b""


def test_deadline_applies_under_tls(certificate: Path) -> None:
    turn = iter([True, False])

    def behave(connection: ssl.SSLSocket) -> None:
        reply = http_answer("200 OK", GRANT)
        for byte in reply if next(turn) else b"":
            if upstream.over.wait(0.2):
                return
            connection.sendall(bytes([byte]))
        connection.sendall(reply)

    with TLSUpstream(certificate, behave) as upstream:
        slow, after = log_in(upstream.url, certificate, times=2)

    assert isinstance(slow, UpstreamTooSlow)
    # With one slot, the next login can start only after this one has ended.
    assert isinstance(after, Grant)


def test_deadline_applies_during_the_handshake() -> None:
    def drip(connection: socket.socket) -> None:
        """A TLS record that claims 16 KiB, and comes a byte at a time."""
        upstream.drip(connection, b"\x16\x03\x03\x40\x00" + b"\x02" * 100, 0.2)

    class Handshakes(RawUpstream):
        def _serve(self, connection: socket.socket) -> None:
            with suppress(OSError):
                connection.recv(65536)
                drip(connection)

    with Handshakes(drip) as upstream:
        url = upstream.url.replace("http:", "https:")
        first, second = log_in(url, None, times=2)

    # The second login had a slot, so the first one's thread did not stay in the handshake.
    assert isinstance(first, UpstreamTooSlow)
    assert isinstance(second, UpstreamTooSlow)


@pytest.mark.parametrize("trusted", [True, False])
def test_service_trusts_the_certificates_of_ssl_cert_file(
    tls_upstream: TLSUpstream, certificate: Path, trusted: bool
) -> None:
    variables = {
        "AVATAR_API_KEY": KEY,
        "ALLOWED_ORIGINS": ORIGIN,
        "SENTIFYD_BACKEND": tls_upstream.url.removesuffix("/api/login"),
        **({"SSL_CERT_FILE": str(certificate)} if trusted else {}),
    }
    with Command("sentifyd-edge", "serve", "--port", "0", **variables) as command:
        port = command.port()
        answer = requests.get(f"http://127.0.0.1:{port}/request_tokens", timeout=20)
        assert command.stop() == 0

    assert answer.status_code == (200 if trusted else 502)
    assert [KEY.encode() in request for request in tls_upstream.received if request] == [
        True
    ] * trusted


def test_missing_certificate_file_is_reported() -> None:
    variables = {"AVATAR_API_KEY": KEY, "ALLOWED_ORIGINS": ORIGIN, "SSL_CERT_FILE": "/nowhere.pem"}
    with Command("sentifyd-edge", "serve", "--port", "0", **variables) as command:
        assert command.wait() == 2

    (line,) = command.output.splitlines()
    assert "SSL_CERT_FILE" in line
