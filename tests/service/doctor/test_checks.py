"""`sentifyd-edge doctor`: it reports each reason for missing tokens, and prints no secret."""

from __future__ import annotations

import json
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import certifi
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from edge_service.doctor import redis_check
from edge_service.doctor.checks import examine
from edge_service.doctor.diagnosis import Peer, judge_network
from edge_service.errors import UpstreamUnreachable
from edge_service.redis_client import connections
from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from edge_service.settings import Settings
from tests.support.certificates import self_signed
from tests.support.processes import Command
from tests.support.redis import RedisServer
from tests.support.redis_groups import RedisCluster, WatchedRedis
from tests.support.servers import RawUpstream, http_answer, serving
from tests.support.settings import KEY, ORIGIN
from tests.support.tls import TLSUpstream

PASSWORD = "canary-password-9z"
CANARIES = (KEY, PASSWORD, "canary-proxy", "canary-body", "eyJ")
JWT = {"VISITOR_AUTH": "jwt", "JWT_ISSUER": "canary-body", "JWT_AUDIENCE": "canary-body"}

VerdictJson = dict[str, Any]


def examined(backend: str, **variables: str) -> tuple[int, str]:
    """The exit status and output of the doctor for a service with these settings."""
    environ = {
        "AVATAR_API_KEY": KEY,
        "ALLOWED_ORIGINS": ORIGIN,
        "SENTIFYD_BACKEND": backend,
        "UPSTREAM_TIMEOUT": "30",
        **variables,
    }
    settings = Settings.from_env(environ)
    printed: list[str] = []
    as_json = variables.get("LOG_FORMAT") != "console"
    # In its own thread, because a browser test may have left a loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(examine, settings, environ, printed.append, as_json=as_json)
        status = work.result()
    text = "\n".join(printed)
    for canary in CANARIES:
        assert canary not in text
    return status, text


def found(backend: str, **variables: str) -> dict[str, VerdictJson]:
    """The verdicts by their subject."""
    status, text = examined(backend, **variables)
    answer = json.loads(text)
    verdicts = {verdict["where"]: verdict for verdict in answer["verdicts"]}
    assert answer["ok"] is (status == 0) is all(verdict["ok"] for verdict in verdicts.values())
    for verdict in verdicts.values():
        assert verdict["ok"] is (verdict["code"] == "ok") is not verdict["fix"]
    return verdicts


def login(backend: str, **variables: str) -> VerdictJson:
    """The verdict about the only avatar."""
    return found(backend, **variables)["/request_tokens"]


def test_working_service_passes(sandbox_url: str, sandbox: Sandbox) -> None:
    verdicts = found(sandbox_url)

    assert list(verdicts) == ["/request_tokens", "clock"]
    assert "expires after 3" in verdicts["/request_tokens"]["what"]
    assert "a refresh token and 4 avatar parameters" in verdicts["/request_tokens"]["what"]
    assert sandbox.logins == 1


def test_patterns_are_named_before_the_logins(sandbox_url: str) -> None:
    origins = "https://docs.example.com,https://*.preview.example.com"
    verdicts = found(sandbox_url, ALLOWED_ORIGINS=origins)

    assert list(verdicts) == ["origins", "/request_tokens", "clock"]
    assert verdicts["origins"]["what"] == "1 pattern for previews, those of forks included"


def test_text_output_has_one_line_for_each_verdict(sandbox_url: str) -> None:
    status, text = examined(sandbox_url, LOG_FORMAT="console", SENTIFYD_LOGIN_PATH="/nowhere")

    first, clock, last = text.splitlines()
    assert status == 1
    assert first.startswith(
        "FAIL  /request_tokens: Sentifyd has no login call at this path (404): set"
    )
    assert clock == "ok    clock: it agrees with Sentifyd's"
    assert last == "1 problem"


@pytest.mark.parametrize(
    ("fault", "code", "what"),
    [
        (Fault("status", status=401), "key-refused", "(401)"),
        (Fault("status", status=403), "key-refused", "(403)"),
        (Fault("status", status=404), "wrong-path", "(404)"),
        (Fault("status", status=405), "wrong-path", "(405)"),
        (Fault("status", status=400), "login-refused", "(400)"),
        (Fault("status", status=429, retry_after=30), "too-many", "asks to wait 30 s"),
        (Fault("status", status=503, retry_after=7), "upstream-failing", "asks to wait 7 s"),
        (Fault("status", status=500), "upstream-failing", "(500)"),
        (Fault("garbage"), "malformed", "not JSON"),
        (Fault("oversized"), "oversized", "more than"),
        (Fault("bomb"), "malformed", "not JSON"),
        (Fault("reset"), "broken-off", "closed the connection"),
        (Fault("drip", seconds=0.5), "timeout", "did not answer in time"),
        (
            Fault("redirect", location=f"https://a.example/{KEY}"),
            "redirect",
            "to https://a.example (",
        ),
        (
            Fault("redirect", location=f"https://{KEY}.example/"),
            "redirect",
            "redirects the login else",
        ),
        (Fault("redirect", location="https://a b/"), "redirect", "redirects the login elsewhere"),
        (
            Fault("redirect", location=f"https://{KEY.replace('-', '.')}.example/"),
            "redirect",
            "redirects the login elsewhere",
        ),
        (Fault("redirect", location="/elsewhere"), "redirect", "another path of the same host"),
        (Fault("redirect", location="//127.0.0.1:1/"), "redirect", "to http://127.0.0.1:1 ("),
        (Fault("status", status=407), "login-refused", "(407)"),
        (Fault("status", status=408), "login-refused", "(408)"),
    ],
    ids=lambda value: f"{value.kind}-{value.status}" if isinstance(value, Fault) else "",
)
def test_each_fault_of_sentifyd_is_diagnosed(
    sandbox: Sandbox, sandbox_url: str, fault: Fault, code: str, what: str
) -> None:
    sandbox.fault = fault

    verdict = login(sandbox_url, UPSTREAM_TIMEOUT="1" if fault.kind == "drip" else "60")

    assert verdict["code"] == code
    assert what in verdict["what"]


def grant(access_token: str) -> bytes:
    tokens = {"access_token": access_token, "refresh_token": "canary-body"}
    return json.dumps({"data": {**tokens, "avatar_params": {}}}).encode()


def token(issued: float, expires: float) -> str:
    """A JWT whose times are given in seconds from now."""
    now = time.time()
    claims = {"iat": int(now + issued), "exp": int(now + expires)}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.generate_key(256))


@pytest.mark.parametrize(
    ("answer", "code", "what"),
    [
        (
            http_answer("200 OK", b"<p>canary-body", "Content-Type: text/html"),
            "web-page",
            "a web page",
        ),
        *(
            (
                http_answer(status, b"<p>x", "Content-Type: text/html"),
                "web-page",
                "refused the login",
            )
            for status in ("401 No", "403 No", "407 No")
        ),
        (http_answer("304 Same", b""), "malformed", "not 200"),
        (http_answer("300 Some", b"", "Location: /there"), "malformed", "not 200"),
        (http_answer("302 There", b""), "malformed", "not 200"),
        (http_answer("200 OK", b"[]"), "malformed", "not a JSON object"),
        (http_answer("200 OK", b'{"refresh_token": "x"}'), "malformed", "access_token is missing"),
        (
            http_answer("200 OK", b'{"avatar_params": 7}'),
            "malformed",
            "is not an object",
        ),
        (http_answer("200 OK", b'{"avatar_params": {}}'), "malformed", "access_token is missing"),
        (http_answer("204 No Content", b""), "malformed", "not 200"),
        (f"{KEY}\r\n\r\n".encode(), "malformed", "not HTTP"),
        (
            http_answer("429 No", b"", f"Retry-After: {KEY}"),
            "too-many",
            "limits the number of logins (429)",
        ),
        (http_answer("429 No", b"", "Retry-After: 12345678"), "too-many", "more than a day"),
    ],
)
def test_answer_of_another_server_is_diagnosed(answer: bytes, code: str, what: str) -> None:
    def behave(connection: socket.socket) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_RDWR)

    with RawUpstream(behave) as upstream:
        verdict = login(upstream.url)

    assert verdict["code"] == code
    assert what in verdict["what"]


@pytest.mark.parametrize(
    ("issued", "expires", "code"),
    [
        (0, 3600, "ok"),
        (0, 6, "ok"),
        (0, 4, "token-short"),
        (-7200, -3600, "token-expired"),
        (300, 3600, "token-early"),
    ],
)
def test_times_of_a_token_are_checked(issued: float, expires: float, code: str) -> None:
    def behave(connection: socket.socket) -> None:
        connection.sendall(http_answer("200 OK", grant(token(issued, expires))))

    with RawUpstream(behave) as upstream:
        assert login(upstream.url)["code"] == code


@pytest.mark.parametrize("claims", [{}, {"exp": True}, {"exp": "soon", "iat": True}])
def test_token_without_a_lifetime_is_accepted(claims: dict[str, object]) -> None:
    opaque = jwt.encode({"alg": "HS256"}, claims, OctKey.generate_key(256))
    with RawUpstream(lambda c: c.sendall(http_answer("200 OK", grant(opaque)))) as upstream:
        verdict = login(upstream.url)

    assert verdict["code"] == "ok"
    assert "a token of unknown lifetime (55 s is assumed), a refresh" in verdict["what"]


@pytest.mark.parametrize(
    ("skew", "code", "what"),
    [
        (0, "ok", "agrees"),
        (25, "ok", "agrees"),
        (-25, "ok", "agrees"),
        (40, "clock-wrong", "s behind Sentifyd's"),
        (-40, "clock-wrong", "s ahead of Sentifyd's"),
        (600, "clock-wrong", "s behind Sentifyd's"),
        (-600, "clock-wrong", "s ahead of Sentifyd's"),
        (-1e8, "clock-wrong", "it is more than a day ahead of"),
    ],
)
def test_clock_is_compared_with_the_date_of_sentifyd(skew: float, code: str, what: str) -> None:
    def behave(connection: socket.socket) -> None:
        date = formatdate(time.time() + skew, usegmt=True)
        connection.sendall(http_answer("401 Unauthorized", b"{}", f"Date: {date}"))

    with RawUpstream(behave) as upstream:
        verdicts = found(upstream.url)

    assert verdicts["/request_tokens"]["code"] == "key-refused"
    assert verdicts["clock"]["code"] == code
    assert what in verdicts["clock"]["what"]


def test_date_without_a_zone_is_read_as_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    def behave(connection: socket.socket) -> None:
        date = formatdate().replace("+0000", "-0000")
        assert date.endswith("-0000")
        connection.sendall(http_answer("401 No", b"{}", f"Date: {date}"))

    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        with RawUpstream(behave) as upstream:
            assert found(upstream.url)["clock"]["code"] == "ok"
    finally:
        monkeypatch.undo()
        time.tzset()


def in_a_file(folder: Path, *backends: str) -> dict[str, str]:
    """Variables of as many avatars, each with its backend."""
    entries = (
        f'[[avatars]]\nid = "a{number}"\nkey = "{KEY}"\nbackend = "{backend}"\n'
        for number, backend in enumerate(backends)
    )
    file = folder / "avatars.toml"
    file.write_text("".join(entries))
    return {"AVATARS_FILE": str(file), "ALLOWED_ORIGINS": ORIGIN}


def examined_file(folder: Path, *backends: str) -> dict[str, str]:
    """Codes of the verdicts about avatars of a file."""
    environ = in_a_file(folder, *backends)
    printed: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        settings = Settings.from_env(environ)
        pool.submit(examine, settings, environ, printed.append, as_json=True).result()
    [text] = printed
    return {verdict["where"]: verdict["code"] for verdict in json.loads(text)["verdicts"]}


def test_every_avatar_with_one_login_url_is_checked(
    tmp_path: Path, sandbox: Sandbox, sandbox_url: str
) -> None:
    codes = examined_file(tmp_path, *[sandbox_url] * 6)

    assert codes == {**{f"/request_tokens/a{n}": "ok" for n in range(6)}, "clock": "ok"}
    assert sandbox.logins == 6


@pytest.mark.parametrize("status", [429, 503])
def test_overloaded_sentifyd_is_called_only_once(
    tmp_path: Path, sandbox: Sandbox, sandbox_url: str, status: int
) -> None:
    sandbox.fault = Fault("status", status=status)

    codes = examined_file(tmp_path, *[sandbox_url] * 3)

    assert codes["2 more with this login URL"] == "not-tried"
    assert sandbox.logins == 1


@pytest.mark.parametrize("skews", [(600, 0), (0, 600), (-600, 0), (0, -600)])
def test_largest_clock_difference_is_reported(tmp_path: Path, skews: tuple[int, int]) -> None:
    def answering(skew: int) -> RawUpstream:
        def behave(connection: socket.socket) -> None:
            date = formatdate(time.time() + skew, usegmt=True)
            connection.sendall(http_answer("401 No", b"{}", f"Date: {date}"))

        return RawUpstream(behave)

    with answering(skews[0]) as one, answering(skews[1]) as other:
        assert examined_file(tmp_path, one.url, other.url)["clock"] == "clock-wrong"


def test_clock_without_a_usable_date_is_not_reported() -> None:
    with RawUpstream(lambda c: c.sendall(http_answer("401 No", b"{}", "Date: soon"))) as upstream:
        assert list(found(upstream.url)) == ["/request_tokens"]


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as sock:
        # Bound but not listening: no other process can use it, and connections are refused.
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


def test_refused_connection_and_unknown_name_are_diagnosed(closed_port: int) -> None:
    refused = login(f"http://127.0.0.1:{closed_port}")
    assert refused["code"] == "refused"
    assert "SENTIFYD_BACKEND" in refused["fix"]

    unknown = login("https://canary-body.invalid", UPSTREAM_TIMEOUT="30")
    assert unknown["code"] == "name-unknown"


def test_ignored_proxy_variable_is_mentioned(closed_port: int) -> None:
    backend = f"http://127.0.0.1:{closed_port}"

    assert "HTTPS_PROXY is set, but" in login(backend, HTTPS_PROXY="http://canary-proxy:1")["fix"]
    assert "PROXY" not in login(backend, HTTPS_PROXY="")["fix"]


def test_hanging_server_is_diagnosed() -> None:
    with RawUpstream(lambda _: None) as upstream:
        verdict = login(upstream.url, UPSTREAM_TIMEOUT="0.3")

    assert verdict["code"] == "timeout"


def test_ctrl_c_stops_the_doctor_at_once() -> None:
    with RawUpstream(lambda _: None) as upstream:
        variables = {"SENTIFYD_BACKEND": upstream.url, "UPSTREAM_TIMEOUT": "60"}
        with Command(
            "sentifyd-edge", "doctor", AVATAR_API_KEY=KEY, ALLOWED_ORIGINS=ORIGIN, **variables
        ) as command:
            assert upstream.arrived.wait(20)
            assert command.stop() == 130

    assert "Traceback" not in command.output


def test_port_without_tls_is_diagnosed(sandbox_url: str) -> None:
    assert login(sandbox_url.replace("http:", "https:"))["code"] == "no-tls"


def test_tls_port_called_without_tls_is_diagnosed(tmp_path: Path, sandbox_url: str) -> None:
    certificate, _ = self_signed(tmp_path)
    with TLSUpstream(certificate, send_valid_grant) as upstream:
        verdict = login(upstream.url.removesuffix("/api/login").replace("https:", "http:"))
    assert "https://" in verdict["fix"]

    with TLSUpstream(certificate, send_valid_grant) as upstream:
        url = upstream.url.removesuffix("/api/login").replace("https:", "redis:")
        assert "rediss://" in found(sandbox_url, REDIS_URL=url)["redis"]["fix"]


def test_fix_does_not_advise_to_trust_an_unknown_certificate(tmp_path: Path) -> None:
    certificate, _ = self_signed(tmp_path)
    with TLSUpstream(certificate, send_valid_grant) as upstream:
        fix = login(upstream.url.removesuffix("/api/login"))["fix"]

    assert fix.startswith("if you know the issuer")
    assert fix.endswith("otherwise do not trust it: somebody may intercept the connection")


def send_valid_grant(connection: ssl.SSLSocket) -> None:
    connection.sendall(http_answer("200 OK", grant(token(0, 60))))


@pytest.mark.parametrize(
    ("names", "days", "trusted", "code"),
    [
        ({}, 1, True, "ok"),
        ({}, 1, False, "certificate-self-signed"),
        ({}, -1, True, "certificate-expired"),
        ({"address": "127.0.0.9"}, 1, True, "certificate-name"),
    ],
)
def test_certificate_of_sentifyd_is_checked(
    tmp_path: Path, names: dict[str, str], days: int, trusted: bool, code: str
) -> None:
    (tmp_path / "other").mkdir()
    certificate, _ = self_signed(tmp_path, days=days, **names)
    other, _ = self_signed(tmp_path / "other")
    file = certificate if trusted else other
    with TLSUpstream(certificate, send_valid_grant) as upstream:
        verdicts = found(upstream.url.removesuffix("/api/login"), SSL_CERT_FILE=str(file))

    assert verdicts["/request_tokens"]["code"] == code
    expired = "certificates-expired" if days < 0 else "ok"
    assert verdicts["certificates"]["code"] == expired
    if code != "ok":
        assert all(KEY.encode() not in request for request in upstream.received)


@pytest.mark.parametrize(
    ("cause", "detail", "code"),
    [
        ("SSLCertVerificationError", "9", "certificate-early"),
        ("SSLCertVerificationError", "19", "certificate-self-signed"),
        ("SSLCertVerificationError", "20", "certificate-unknown"),
        ("SSLCertVerificationError", "21", "certificate-unknown"),
        ("SSLCertVerificationError", "62", "certificate-name"),
        ("SSLError", "TLSV1_ALERT_PROTOCOL_VERSION", "tls"),
        ("OSError", None, "unreachable"),
    ],
)
def test_network_faults_that_cannot_be_produced_locally(
    cause: str, detail: str | None, code: str
) -> None:
    error = UpstreamUnreachable()
    error.cause, error.detail = cause, detail

    verdict = judge_network(Peer("here", "Sentifyd", "SENTIFYD_BACKEND"), error)

    assert verdict.code == code
    assert verdict.fix


AVATARS = """
default = "one"
[[avatars]]
id = "one"
key = "canary-key-7f3a91"
[[avatars]]
id = "two"
key = "canary-key-of-another"
[[avatars]]
id = "offline"
key = "canary-key-7f3a91"
backend = "http://127.0.0.1:{port}"
[[avatars]]
id = "too"
key = "canary-key-7f3a91"
backend = "http://127.0.0.1:{port}"
"""


def test_each_avatar_is_checked_once_but_not_on_a_failed_server(
    tmp_path: Path, sandbox: Sandbox, sandbox_url: str, closed_port: int
) -> None:
    file = tmp_path / "avatars.toml"
    file.write_text(AVATARS.format(port=closed_port))
    with Command(
        *("sentifyd-edge", "doctor", "--json"),
        AVATARS_FILE=str(file),
        ALLOWED_ORIGINS=ORIGIN,
        SENTIFYD_BACKEND=sandbox_url,
        SSL_CERT_FILE=certifi.where(),
    ) as command:
        status = command.wait()

    codes = {v["where"]: v["code"] for v in json.loads(command.output)["verdicts"]}
    assert status == 1
    assert codes == {
        "certificates": "ok",
        "/request_tokens/one": "ok",
        "/request_tokens/two": "key-refused",
        "/request_tokens/offline": "refused",
        "1 more with this login URL": "not-tried",
        "clock": "ok",
    }
    assert sandbox.logins == 2
    assert "canary" not in command.output


@pytest.fixture
def long_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    wait_long(monkeypatch)


def wait_long(patch: pytest.MonkeyPatch) -> None:
    """Do not mistake a busy machine for a Redis that does not answer."""
    patch.setattr(connections, "STEP_SECONDS", 30)
    patch.setattr(redis_check, "SECONDS", 60)


@pytest.mark.usefixtures("long_timeouts")
def test_redis_connection_is_checked(sandbox_url: str, closed_port: int) -> None:
    def redis(url: str) -> str:
        code: str = found(sandbox_url, REDIS_URL=url)["redis"]["code"]
        return code

    with RedisServer(password=PASSWORD) as server:
        assert redis(server.url) == "ok"
        assert redis(server.url.replace(PASSWORD, "canary-password-of-another")) == "redis-refused"
        assert redis(server.url.replace(f":{PASSWORD}@", "")) == "redis-refused"
    with RedisServer() as server:
        assert redis(server.url.replace("//", f"//:{PASSWORD}@")) == "redis-refused"
    assert redis(sandbox_url.replace("http:", "rediss:")) == "no-tls"
    assert redis(f"redis://:{PASSWORD}@127.0.0.1:{closed_port}") == "refused"


@pytest.mark.usefixtures("long_timeouts")
def test_redis_socket_is_checked(sandbox_url: str, tmp_path: Path) -> None:
    path = tmp_path / "redis.sock"
    url = f"unix://:{PASSWORD}@{path}"
    missing = found(sandbox_url, REDIS_URL=url)["redis"]
    assert missing["code"] == "socket"
    assert str(path) not in str(missing)
    with RedisServer(password=PASSWORD, unixsocket=path):
        assert found(sandbox_url, REDIS_URL=url)["redis"]["code"] == "ok"


@pytest.mark.usefixtures("long_timeouts")
def test_redis_client_certificate_is_checked(sandbox_url: str, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with RedisServer(certificate=(certificate, key)) as server:
        url = f"rediss://127.0.0.1:{server.port}?ssl_ca_certs={certificate}"
        without = found(sandbox_url, REDIS_URL=url)["redis"]
        assert without["code"] in ("tls", "broken-off")
        assert without["fix"]
        own = f"&ssl_certfile={certificate}&ssl_keyfile={key}"
        assert found(sandbox_url, REDIS_URL=url + own)["redis"]["code"] == "ok"
        untrusted = f"rediss://127.0.0.1:{server.port}?{own}"
        assert found(sandbox_url, REDIS_URL=untrusted)["redis"]["code"] == "certificate-self-signed"


@pytest.mark.usefixtures("long_timeouts")
def test_redis_cluster_is_checked(sandbox_url: str, closed_port: int) -> None:
    def code(url: str) -> str:
        return str(found(sandbox_url, REDIS_URL=url)["redis"]["code"])

    with RedisCluster(password=PASSWORD) as cluster:
        assert code(cluster.url) == "ok"
        # The service does not follow a cluster with the URL of one server.
        (one, *_) = cluster.servers
        assert code(one.url) == "redis-failing"
        assert code(cluster.url.replace(PASSWORD, "canary-password-of-another")) == "redis-refused"
    with RedisServer() as alone:
        assert code(f"redis+cluster://127.0.0.1:{alone.port}") == "redis-failing"
    assert code(f"redis+cluster://127.0.0.1:{closed_port}") == "refused"


@pytest.mark.stress
def test_redis_sentinel_is_checked(
    sandbox_url: str, closed_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def verdict(url: str) -> VerdictJson:
        return found(sandbox_url, REDIS_URL=url)["redis"]

    with WatchedRedis(password=PASSWORD, certificate=self_signed(tmp_path)) as watched:
        with monkeypatch.context() as patch:
            wait_long(patch)
            assert verdict(watched.url)["code"] == "ok"
            unknown = verdict(watched.url.replace("/docs", "/other"))
            assert unknown["code"] == "sentinel"
            assert "knows no running master" in unknown["what"]
            other = verdict(watched.url.replace(PASSWORD, "canary-password-of-another"))
            assert other["code"] == "redis-refused"
        for server in watched.servers:
            server.pause()
        assert not verdict(watched.url)["ok"]
        for server in watched.servers:
            server.resume()
    away = verdict(f"redis+sentinel://127.0.0.1:{closed_port}/docs")
    assert (away["code"], "cannot be reached" in away["what"]) == ("sentinel", True)


@pytest.mark.usefixtures("long_timeouts")
def test_redis_that_refuses_writes_is_diagnosed(sandbox_url: str) -> None:
    with RedisServer() as server, server.client() as client:

        def verdict(user: str = "") -> VerdictJson:
            url = server.url.replace("redis://", f"redis://{user}")
            return found(sandbox_url, REDIS_URL=url)["redis"]

        assert verdict()["code"] == "ok"
        assert client.keys() == []
        client.acl_setuser("reader", enabled=True, passwords=f"+{PASSWORD}", commands=["+ping"])
        assert "NoPermissionError" in verdict(f"reader:{PASSWORD}@")["what"]
        client.acl_setuser(
            "writer", enabled=True, passwords=f"+{PASSWORD}", commands=["+ping", "+set"], keys="*"
        )
        assert verdict(f"writer:{PASSWORD}@")["code"] == "redis-failing"
        client.config_set("maxmemory", 1)
        assert "OutOfMemoryError" in verdict()["what"]
        client.config_set("maxmemory", 0)
        client.replicaof("127.0.0.1", "1")
        assert "ReadOnlyError" in verdict()["what"]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"-LOADING canary-body\r\n", "redis-failing"),
        (b"-ERR max number of clients reached\r\n", "redis-failing"),
        (b"", "timeout"),
        (b"-ERR canary-body\r\n", "redis-failing"),
        (b"HTTP/1.1 400 No\r\n", "redis-failing"),
    ],
)
def test_failing_or_wrong_redis_is_diagnosed(sandbox_url: str, reply: bytes, code: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(4) as pool:

        def answer(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                while asked := connection.recv(1000):
                    # Several commands may come at once, and each begins with a star.
                    connection.sendall(reply * max(1, asked.count(b"*")))

        def serve() -> None:
            # The client may retry, perhaps before it has closed its first connection.
            with suppress(OSError):
                while True:
                    pool.submit(answer, listener.accept()[0])

        served = pool.submit(serve)
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}"
        try:
            assert found(sandbox_url, REDIS_URL=url)["redis"]["code"] == code
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            served.result(10)


def test_key_set_of_the_issuer_is_checked(sandbox_url: str, closed_port: int) -> None:
    key = ECKey.generate_key("P-256")
    routes = [
        Route("/keys", lambda _: JSONResponse({"keys": [key.as_dict(private=False)]})),
        Route("/secret", lambda _: JSONResponse({"keys": [{"kty": "oct", "k": "canary-body"}]})),
        Route("/text", lambda _: PlainTextResponse("canary-body")),
    ]

    def issuer(url: str) -> VerdictJson:
        return found(sandbox_url, **JWT, JWT_JWKS_URL=url)["issuer"]

    with serving(Starlette(routes=routes)) as url:
        assert issuer(f"{url}/keys")["what"] == "its key set contains 1 usable key"
        assert issuer(f"{url}/secret")["code"] == "key-set-unusable"
        assert issuer(f"{url}/text")["code"] == "key-set-unusable"
        missing = issuer(f"{url}/nowhere")
        assert (missing["code"], "404" in missing["what"]) == ("malformed", True)
    refused = issuer(f"http://127.0.0.1:{closed_port}")
    assert refused["code"] == "refused"
    assert "JWT_JWKS_URL" in refused["fix"]


def test_invalid_settings_are_reported_like_serve_does() -> None:
    with Command("sentifyd-edge", "doctor", AVATAR_KEY=KEY, PORT="x") as command:
        status = command.wait()

    assert status == 2
    assert [line.split()[1] for line in command.output.splitlines()] == [
        *("AVATAR_API_KEY", "ALLOWED_ORIGINS", "PORT"),
        "AVATAR_KEY",
    ]
    assert KEY not in command.output


def test_invalid_settings_are_reported_as_json() -> None:
    with Command("sentifyd-edge", "doctor", "--json", AVATAR_KEY=KEY, PORT="x") as command:
        status = command.wait()

    answer = json.loads(command.output)
    assert (status, answer["ok"]) == (2, False)
    assert {(v["where"], v["code"], v["ok"]) for v in answer["verdicts"]} == {
        ("settings", "settings-wrong", False)
    }
    assert [v["what"].split()[0] for v in answer["verdicts"]] == [
        *("AVATAR_API_KEY", "ALLOWED_ORIGINS", "PORT"),
        "AVATAR_KEY",
    ]
    assert KEY not in command.output
