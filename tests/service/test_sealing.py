"""Sealed refresh tokens: the browser gets a handle, which works only where it was issued."""

from __future__ import annotations

import base64
import binascii
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge_service.sealing import HANDLE_SECONDS, new_key
from tests.support.avatars import avatar, write_avatars
from tests.support.processes import Command
from tests.support.servers import RawUpstream, http_answer
from tests.support.service import Service, StartService
from tests.support.settings import KEY, ORIGIN

REFRESH = "canary-refresh-2b"
OTHER_ORIGIN = "http://localhost:8000"
FORWARDED = {"VISITOR_AUTH": "forwarded", "TRUSTED_PROXIES": "127.0.0.0/8"}
# The rate limit must not refuse a request in these tests.
NO_LIMIT = {"RATE_LIMIT": "999999/hour"}
EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def upstream() -> Iterator[RawUpstream]:
    def behave(connection: socket.socket) -> None:
        token = f"{REFRESH}-{len(raw.received)}"
        grant = {"access_token": "access", "refresh_token": token, "avatar_params": {"a": 1}}
        connection.sendall(http_answer("200 OK", json.dumps({"data": grant}).encode()))

    with RawUpstream(behave) as raw:
        yield raw


@pytest.fixture
def key() -> str:
    return new_key()


@pytest.fixture
def sealed(start_service: StartService, upstream: RawUpstream, key: str) -> Service:
    return start_service(upstream.url, SEAL_KEYS=key, **NO_LIMIT)


def handle_in(response: requests.Response) -> str:
    assert response.status_code == 200, response.text
    assert REFRESH not in response.text + str(response.headers)
    handle: str = response.json()["tokens"]["refreshToken"]
    return handle


def refreshed(
    service: Service, handle: str, path: str = "", *, origin: str | None = ORIGIN, **headers: str
) -> requests.Response:
    return service.call(
        *("POST", path), origin=origin, headers=headers, json={"refreshToken": handle}
    )


def assert_refused(response: requests.Response, *, malformed: bool = False) -> None:
    status, code = (400, "malformed_handle") if malformed else (401, "handle_refused")
    assert response.status_code == status
    assert response.json()["code"] == code
    assert set(response.json()) == {"error", "code"}
    assert response.headers["Cache-Control"] == "no-store"
    challenge = None if malformed else 'Bearer error="invalid_token"'
    assert response.headers.get("WWW-Authenticate") == challenge


def test_browser_never_gets_the_refresh_token(sealed: Service, upstream: RawUpstream) -> None:
    first = sealed.get()
    handle = handle_in(first)
    answers = [
        sealed.get(f"?refreshToken={handle}"),
        requests.get(
            sealed.url, params={"refreshToken": handle}, headers={"Origin": ORIGIN}, timeout=20
        ),
        refreshed(sealed, handle),
        sealed.call("POST", data={"refreshToken": handle}),
    ]

    assert first.json()["tokens"] == {"accessToken": "access", "refreshToken": handle}
    assert first.json()["avatarParameters"] == {"a": 1}
    # Each handle is different, so that none reveals its content.
    assert len({handle, *map(handle_in, answers)}) == 5
    assert len(upstream.received) == 5
    for request in upstream.received:
        assert handle.encode() not in request
        assert REFRESH.encode() not in request


def test_refresh_token_is_passed_on_without_keys(
    start_service: StartService, upstream: RawUpstream
) -> None:
    service = start_service(upstream.url)

    assert service.get().json()["tokens"]["refreshToken"] == f"{REFRESH}-1"
    assert refreshed(service, REFRESH).status_code == 200
    assert refreshed(service, "anything").status_code == 200


def test_handle_works_for_one_avatar_and_one_origin(
    start_service: StartService, upstream: RawUpstream, key: str, tmp_path: Path
) -> None:
    path = write_avatars(tmp_path, avatar("docs", KEY) + avatar("shop", "canary-key-shop"))
    service = start_service(upstream.url, AVATARS_FILE=str(path), SEAL_KEYS=key)
    places = [
        (path, origin) for path in ("", "/docs", "/shop") for origin in (ORIGIN, OTHER_ORIGIN, None)
    ]
    handles = {place: handle_in(service.get(place[0], origin=place[1])) for place in places}
    logins = len(upstream.received)

    for place, handle in handles.items():
        for path_, origin in places:
            answer = refreshed(service, handle, path_, origin=origin)
            if (path_, origin) == place:
                assert answer.status_code == 200
            else:
                assert_refused(answer)
                # The page can read the reason.
                assert answer.headers.get("Access-Control-Allow-Origin") == origin
    assert len(upstream.received) == logins + len(places)


def test_handle_of_the_default_avatar_works_at_both_routes(
    upstream: RawUpstream, key: str, tmp_path: Path
) -> None:
    path = write_avatars(tmp_path, 'default = "docs"\n' + avatar("docs", "canary-key-docs"))
    with Command(
        *("sentifyd-edge", "serve", "--port", "0"),
        AVATARS_FILE=str(path),
        ALLOWED_ORIGINS=ORIGIN,
        SENTIFYD_BACKEND=upstream.url,
        SEAL_KEYS=key,
    ) as command:
        service = Service(f"http://127.0.0.1:{command.wait_for(r'port.: ?([0-9]+)')[1]}")
        handle_in(refreshed(service, handle_in(service.get()), "/docs"))
        handle_in(refreshed(service, handle_in(service.get("/docs"))))


def test_handle_works_for_one_visitor(
    start_service: StartService, upstream: RawUpstream, key: str
) -> None:
    service = start_service(upstream.url, SEAL_KEYS=key, **FORWARDED)
    handle = handle_in(service.get(X_Forwarded_User="anna"))
    logins = len(upstream.received)

    assert_refused(refreshed(service, handle, X_Forwarded_User="bert"))
    assert_refused(refreshed(service, handle, X_Forwarded_User="ann"))
    assert refreshed(service, handle).json()["code"] == "unauthenticated"
    assert len(upstream.received) == logins
    handle_in(refreshed(service, handle, X_Forwarded_User="anna"))

    # It is also refused by a service that does not identify visitors.
    anonymous = start_service(upstream.url, SEAL_KEYS=key)
    assert_refused(refreshed(anonymous, handle))
    assert_refused(refreshed(service, handle_in(anonymous.get()), X_Forwarded_User="anna"))


def test_shared_grant_has_a_handle_for_each_origin(
    start_service: StartService, upstream: RawUpstream, key: str
) -> None:
    service = start_service(upstream.url, SEAL_KEYS=key, TOKEN_POLICY="shared")
    handles = [handle_in(service.get(origin=origin)) for origin in (ORIGIN, OTHER_ORIGIN)]

    assert handle_in(service.get()) == handles[0]
    assert_refused(refreshed(service, handles[0], origin=OTHER_ORIGIN))
    assert_refused(refreshed(service, handles[1]))
    assert len(upstream.received) == 1
    # The visitor already has this grant, and so gets a new one.
    assert handle_in(refreshed(service, handles[0])) != handles[0]
    assert len(upstream.received) == 2
    # The new grant is also new to the other page.
    assert handle_in(refreshed(service, handles[1], origin=OTHER_ORIGIN)) not in handles
    assert len(upstream.received) == 2


@pytest.mark.parametrize(
    ("age", "opens"),
    [(0, True), (HANDLE_SECONDS - 60, True), (HANDLE_SECONDS + 2, False), (-120, False)],
)
def test_handle_expires_after_a_day(
    sealed: Service, upstream: RawUpstream, key: str, age: int, opens: bool
) -> None:
    content = Fernet(key).decrypt(handle_in(sealed.get()))
    aged = Fernet(key).encrypt_at_time(content, int(time.time()) - age).decode()

    answer = refreshed(sealed, aged)

    if opens:
        handle_in(answer)
    else:
        assert_refused(answer)
    assert len(upstream.received) == 1 + opens


def test_keys_can_be_rotated(start_service: StartService, upstream: RawUpstream) -> None:
    old, new = new_key(), new_key()
    before, between, after = (
        start_service(upstream.url, SEAL_KEYS=keys) for keys in (old, f"{new},\n{old}", new)
    )
    handle = handle_in(before.get())

    renewed = handle_in(refreshed(between, handle))
    handle_in(refreshed(after, renewed))
    assert_refused(refreshed(after, handle))
    assert_refused(refreshed(before, renewed))
    assert Fernet(new).decrypt(renewed)


@pytest.mark.parametrize(
    "content",
    [b"not JSON", b"\xff", b"{}", b"7", b"null", b"[]", b'["r"]', b'["r", ""]',
     json.dumps(["r", "", ORIGIN, "", ""]).encode(), json.dumps(["r", "", ORIGIN]).encode()],
)  # fmt: skip
def test_other_text_sealed_with_the_key_is_refused(
    sealed: Service, upstream: RawUpstream, key: str, content: bytes
) -> None:
    assert_refused(refreshed(sealed, Fernet(key).encrypt(content).decode()))
    assert upstream.received == []


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=12,
)
BOUND = ["", ORIGIN, ""]


@pytest.mark.parametrize("policy", ["direct", "shared"])
def test_any_json_sealed_with_the_key_is_refused(
    start_service: StartService, upstream: RawUpstream, key: str, policy: str
) -> None:
    """Another program may use the key too, and may seal what its users send."""
    service = start_service(upstream.url, SEAL_KEYS=key, TOKEN_POLICY=policy, **NO_LIMIT)

    def refused(content: str) -> None:
        handle = Fernet(key).encrypt(content.encode()).decode()
        assert_refused(refreshed(service, handle))

    @EXAMPLES
    @given(JSON_VALUES)
    def any_value_is_refused(value: object) -> None:
        refused(json.dumps(value))

    @EXAMPLES
    @given(JSON_VALUES.filter(lambda value: not isinstance(value, str)))
    def secret_that_is_no_string_is_refused(secret: object) -> None:
        refused(json.dumps([secret, *BOUND]))

    @EXAMPLES
    @given(st.integers(0, 3), JSON_VALUES)
    def wrong_context_is_refused(place: int, value: object) -> None:
        if value not in BOUND:
            refused(json.dumps(["r", *BOUND[:place], value, *BOUND[place + 1 :]]))

    any_value_is_refused()
    secret_that_is_no_string_is_refused()
    wrong_context_is_refused()
    for nested in ("[" * 2500, "[" * 1200 + "]" * 1200, '{"":' * 500 + "1" + "}" * 500):
        refused(nested)
        refused(f'["r", "", "{ORIGIN}", {nested}')
        refused(f'[{nested}, "", "{ORIGIN}", ""]')
    for number in ("9" * 2500, "-1e999", "NaN", "-Infinity"):
        refused(number)
        refused(f'[{number}, "", "{ORIGIN}", ""]')
    assert upstream.received == []


def test_text_that_is_no_handle_is_malformed(sealed: Service, upstream: RawUpstream) -> None:
    @EXAMPLES
    @given(st.text(st.characters(exclude_categories=()), min_size=1, max_size=300))
    @example(REFRESH)
    @example("gAAAAA" + "A" * 89)
    @example("gAAAAA" + "é" * 94)
    @example("eyJhbGciOiJIUzI1NiJ9.e30.c2ln")
    def refused(text: str) -> None:
        body = json.dumps({"refreshToken": text})
        answer = sealed.call("POST", data=body, headers={"Content-Type": "application/json"})
        assert_refused(answer, malformed=True)
        if text.isascii():
            query = requests.get(sealed.url, params={"refreshToken": text}, timeout=20)
            assert_refused(query, malformed=True)

    refused()
    assert upstream.received == []


def test_modified_handle_is_refused(sealed: Service, upstream: RawUpstream, key: str) -> None:
    handle = handle_in(sealed.get())
    sealed_bytes = base64.urlsafe_b64decode(handle)
    assert_refused(
        refreshed(sealed, Fernet(new_key()).encrypt(Fernet(key).decrypt(handle)).decode())
    )
    assert_refused(refreshed(sealed, "gAAAAA" + "A" * 94))

    def is_refused(text: str, status: tuple[int, ...]) -> None:
        answer = refreshed(sealed, text)
        assert answer.status_code in status, text
        assert_refused(answer, malformed=answer.status_code == 400)

    # Any bit of version, time, content or signature.
    @EXAMPLES
    @given(st.integers(0, 8 * len(sealed_bytes) - 1))
    def flipped(bit: int) -> None:
        changed = bytearray(sealed_bytes)
        changed[bit // 8] ^= 1 << bit % 8
        is_refused(base64.urlsafe_b64encode(changed).decode(), (400, 401))

    @EXAMPLES
    @given(
        st.integers(0, len(handle)),
        st.integers(0, len(handle)),
        st.text("AZaz09-_=+/. ", max_size=8),
    )
    def spliced(start: int, end: int, text: str) -> None:
        changed = handle[:start] + text + handle[end:]
        if changed and not means_the_same(changed):
            is_refused(changed, (400, 401))

    def means_the_same(text: str) -> bool:
        # Base64 ignores the last bits of a last letter, and extra padding.
        try:
            return base64.urlsafe_b64decode(text) == sealed_bytes
        except binascii.Error:
            return False

    logins = len(upstream.received)
    flipped()
    spliced()
    for length in range(1, len(handle), 7):
        is_refused(handle[:length], (400, 401))
    assert len(upstream.received) == logins


def test_keygen_prints_a_usable_key(upstream: RawUpstream, tmp_path: Path) -> None:
    with Command("sentifyd-edge", "keygen") as command:
        assert command.wait() == 0
    key = command.output.strip()
    assert len(command.output.splitlines()) == 1
    path = tmp_path / "seal-keys"
    path.write_text(command.output)

    with Command(
        *("sentifyd-edge", "serve", "--port", "0"),
        AVATAR_API_KEY=KEY,
        ALLOWED_ORIGINS=ORIGIN,
        SENTIFYD_BACKEND=upstream.url,
        SEAL_KEYS_FILE=str(path),
        LOG_LEVEL="debug",
    ) as serve:
        service = Service(f"http://127.0.0.1:{serve.wait_for(r'port.: ?([0-9]+)')[1]}")
        handle = handle_in(service.get())
        handle_in(refreshed(service, handle))
        handle_in(service.get(f"?refreshToken={handle}"))
        assert_refused(refreshed(service, handle, origin=None))
        metrics = requests.get(f"{service.base}/metrics", timeout=20).text
        assert serve.stop() == 0

    for text in (serve.output, metrics):
        assert key not in text
        assert handle not in text
        assert REFRESH not in text
        assert KEY not in text


def test_two_keys_are_never_the_same() -> None:
    assert len({new_key() for _ in range(50)}) == 50
