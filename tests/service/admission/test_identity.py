"""Who the visitor is: which credentials are accepted, and what happens if the issuer fails."""

from __future__ import annotations

import asyncio
import base64
import hmac
import ipaddress
import json
import subprocess
import sys
import time
from collections.abc import Iterator, MutableMapping
from contextlib import suppress
from typing import Any

import pytest
import requests
from hypothesis import example, given, settings
from hypothesis import strategies as st
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope
from structlog.testing import capture_logs

from edge_service.admission.addresses import ClientAddresses
from edge_service.admission.identity import ForwardedAuthenticator
from edge_service.admission.jwt import JwtAuthenticator
from edge_service.errors import IdentityUnavailable, ServiceError, Unauthenticated
from edge_service.settings import ForwardedRules, JwtRules
from tests.support.clocks import Clock, in_a_loop
from tests.support.effort import examples
from tests.support.servers import serving

USER = "canary-user-5d1e"
ISSUER = "https://id.example.com"
AUDIENCE = "avatar"
CANARY = "canary-text-9b42"
RULES = JwtRules(jwks_url=f"https://id.example.com/keys?{CANARY}", issuer=ISSUER, audience=AUDIENCE)
MISSING = 'Bearer realm="request_tokens"'
INVALID = f'{MISSING}, error="invalid_token"'
EVERY_ALGORITHM = "RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA Ed25519 Ed448"

EC = ECKey.generate_key("P-256", {"kid": "ec"})
EC2 = ECKey.generate_key("P-256", {"kid": "ec2"})
RSA = RSAKey.generate_key(2048, {"kid": "rsa"})
KEYS: dict[str, Key] = {
    "RS": RSA,
    "PS": RSA,
    "ES256": EC,
    "ES384": ECKey.generate_key("P-384", {"kid": "p384"}),
    "ES512": ECKey.generate_key("P-521", {"kid": "p521"}),
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
    "Ed25519": OKPKey.generate_key("Ed25519", {"kid": "ed2"}),
    "Ed448": OKPKey.generate_key("Ed448", {"kid": "ed448"}),
}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def claims(**changes: object) -> dict[str, object]:
    now = int(time.time())
    every = {"iss": ISSUER, "aud": AUDIENCE, "sub": USER, "exp": now + 300, **changes}
    return {name: value for name, value in every.items() if value is not ...}


def token(key: Key = EC, alg: str = "ES256", payload: object = None, /, **header: object) -> str:
    """A signed token, built by hand so that it can break every rule."""
    named = {"alg": alg, "typ": "JWT", "kid": key.kid, **header}
    shown = {name: value for name, value in named.items() if value is not ...}
    body = payload if isinstance(payload, bytes) else json.dumps(payload or claims()).encode()
    signed = f"{b64(json.dumps(shown).encode())}.{b64(body)}"
    return f"{signed}.{b64(JWSRegistry.algorithms[alg].sign(signed.encode(), key))}"


def jwks(*keys: Key | dict[str, object]) -> bytes:
    entries = [key if isinstance(key, dict) else key.as_dict(private=False) for key in keys]
    return json.dumps({"keys": entries}).encode()


def public(key: Key, **members: object) -> dict[str, object]:
    every = {**key.as_dict(private=False), **members}
    return {name: value for name, value in every.items() if value is not ...}


def bearer(value: str | bytes) -> Scope:
    text = value if isinstance(value, bytes) else value.encode("latin-1")
    return {"client": ("203.0.113.7", 1), "headers": [(b"authorization", b"Bearer " + text)]}


class Pauses:
    """Replaces `asyncio.sleep`: records the requested time, and waits until `end`."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[float] = asyncio.Queue()
        self._ends: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, seconds: float) -> None:
        self.asked.put_nowait(seconds)
        await self._ends.get()

    def end(self) -> None:
        self._ends.put_nowait(None)


class Issuer:
    """A source of keys in place of the network, with an authenticator that reads it."""

    def __init__(self, *keys: Key | dict[str, object], rules: JwtRules = RULES) -> None:
        self.document = jwks(*keys)
        self.error: Exception | None = None
        self.fetches = 0
        self.asked = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()
        self.clock = Clock()
        self.pauses = Pauses()
        self.authenticator = JwtAuthenticator(
            rules, self.fetch, clock=self.clock, sleep=self.pauses
        )

    async def fetch(self) -> bytes:
        self.fetches += 1
        self.asked.set()
        await self.open.wait()
        if self.error is not None:
            raise self.error
        return self.document

    async def identify(self, value: str | Scope) -> str:
        scope = bearer(value) if isinstance(value, str) else value
        return await self.authenticator.identify(scope)

    async def refuses(self, value: str | Scope, challenge: str = INVALID) -> None:
        with pytest.raises(Unauthenticated) as caught:
            await self.identify(value)
        assert caught.value.headers == {"WWW-Authenticate": challenge}
        assert_reveals_nothing(caught.value)

    async def is_unavailable(self) -> None:
        with pytest.raises(IdentityUnavailable) as caught:
            await self.identify(token())
        assert caught.value.headers is not None
        assert 1 <= int(caught.value.headers["Retry-After"]) <= 5
        assert_reveals_nothing(caught.value)


def assert_reveals_nothing(error: ServiceError) -> None:
    assert error.__cause__ is None
    assert error.__context__ is None
    assert "canary" not in f"{error!r} {error} {vars(error)} {error.body()}"


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """The log lines, which must never contain a user, a token or an address."""
    with capture_logs() as lines:
        yield lines
    assert "canary" not in str(lines)
    assert "eyJ" not in str(lines)


def accepts(value: str | Scope, *keys: Key | dict[str, object], rules: JwtRules = RULES) -> None:
    async def work() -> None:
        assert await Issuer(*(keys or (EC,)), rules=rules).identify(value) == USER

    in_a_loop(work())


def refuses(value: str | Scope, *keys: Key | dict[str, object], rules: JwtRules = RULES) -> None:
    async def work() -> None:
        issuer = Issuer(*(keys or (EC,)), rules=rules)
        await issuer.refuses(value)
        assert await issuer.identify(token(EC)) == USER

    in_a_loop(work())


@pytest.mark.parametrize("alg", EVERY_ALGORITHM.split())
def test_every_asymmetric_algorithm_is_accepted(alg: str) -> None:
    key = KEYS.get(alg) or KEYS[alg[:2]]

    accepts(token(key, alg), *KEYS.values())
    accepts(token(key, alg), public(key, alg=alg, use="sig", key_ops=["verify"]))
    accepts(token(key, alg, None, kid=...), key)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": [AUDIENCE]},
        {"aud": ["another", AUDIENCE]},
        # Far enough in the future, because this is evaluated when tests are collected.
        {"exp": int(time.time()) + 36000.5},
        {"exp": int(time.time()) + 10**30},
        {"nbf": int(time.time()) - 10, "iat": int(time.time()) - 10, "jti": "1", "email": "x"},
    ],
)
def test_valid_claims_are_accepted(changes: dict[str, object]) -> None:
    accepts(token(EC, "ES256", claims(**changes)))


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": ...},
        {"iss": f"{ISSUER}/"},
        {"iss": [ISSUER]},
        {"aud": ...},
        {"aud": "another"},
        {"aud": f"{AUDIENCE}s"},
        {"aud": []},
        {"aud": [AUDIENCE, 7]},
        {"aud": {AUDIENCE: 1}},
        {"exp": ...},
        {"exp": None},
        {"exp": True},
        {"exp": "4102444800"},
        {"exp": float("nan")},
        {"exp": float("inf")},
        {"nbf": "now"},
        {"iat": []},
        {"sub": ...},
        {"sub": None},
        {"sub": ""},
        {"sub": "  "},
        {"sub": 7},
        {"sub": [USER]},
        {"sub": "u" * 257},
        {"sub": "\ud800"},
        {"sub": "a\nb"},
        {"sub": "a\0b"},
    ],
    ids=str,
)
def test_invalid_claims_are_rejected(changes: dict[str, object]) -> None:
    refuses(token(EC, "ES256", claims(**changes)))


@pytest.mark.parametrize(("claim", "direction"), [("exp", -1), ("nbf", 1), ("iat", 1)])
def test_clocks_may_differ_by_thirty_seconds(claim: str, direction: int) -> None:
    now = int(time.time())

    accepts(token(EC, "ES256", claims(**{claim: now + 20 * direction})))
    refuses(token(EC, "ES256", claims(**{claim: now + 45 * direction})))


def test_user_name_may_have_256_characters() -> None:
    async def work() -> None:
        long = "é" * 256
        assert await Issuer(EC).identify(token(EC, "ES256", claims(sub=long))) == long

    in_a_loop(work())


def forged(alg: str, secret: bytes, kid: str) -> str:
    header = b64(json.dumps({"alg": alg, "kid": kid}).encode())
    signed = f"{header}.{b64(json.dumps(claims()).encode())}"
    digest = hmac.new(secret, signed.encode(), f"sha{alg[2:]}").digest() if secret else b""
    return f"{signed}.{b64(digest)}"


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512"])
def test_public_key_is_rejected_as_an_hmac_secret(alg: str) -> None:
    secret = OctKey.import_key(b"s" * 64, {"kid": "oct"})
    shared: dict[str, object] = dict(secret.as_dict())

    for value in (RSA.as_pem(private=False), RSA.as_der(private=False), RSA.as_pem()[:-1]):
        refuses(forged(alg, value, "rsa"), RSA, EC)
    refuses(forged(alg, b"s" * 64, "oct"), shared, RSA, EC)
    refuses(forged(alg, b"s" * 64, "oct"), {**shared, "alg": alg, "use": "sig"}, EC)


def test_token_without_signature_is_rejected() -> None:
    for alg in ("none", "None", "NONE", "nOnE", ""):
        refuses(forged(alg, b"", "ec"))
    header, payload, _ = token().split(".")
    refuses(f"{header}.{payload}.")
    refuses(f"{header}.{payload}")


def unsigned(header: str) -> str:
    return f"{b64(header.encode())}.e30.AA"


INVALID_TOKENS = [
    token(EC2, "ES256", None, kid="ec"),
    token(EC, "ES256", None, kid="Ec"),
    token(EC, "ES256", None, kid=["ec"]),
    token(EC, "ES256", None, kid=7),
    token(EC, "ES256", None, crit=["exp"], exp=1),
    token(EC, "ES256", None, crit=[]),
    token(EC, "ES256", None, crit=["b64"], b64=True),
    token(EC, "ES256", None, crit=["b64"], b64=False),
    token(EC, "ES256", None, crit=7),
    token(EC2, "ES256", None, kid=..., jwk=EC2.as_dict(private=False)),
    token(EC, "ES256", b"not JSON"),
    token(EC, "ES256", b"[1]"),
    token(EC, "ES256", b"[" * 5000),
    token(EC, "ES256", b'{"exp": ' + b"9" * 5000 + b"}"),
    token(EC, "ES256", claims(padding="x" * 6200)),
    token(EC, "ES256", claims(padding="x" * 3200), x5t="y" * 3200),
    token() + "A",
    token() + ".A.A",
    token() + " " + token(),
    token()[:-2],
    unsigned("[" * 5000),
    unsigned("[]"),
    unsigned("null"),
    unsigned('"alg"'),
    unsigned("{}"),
    unsigned('{"alg": ["ES256"], "kid": "ec"}'),
    unsigned('{"alg": "ES256", "kid": "ec"}'),
    unsigned('{"alg": "RSA-OAEP", "enc": "A128GCM", "kid": "ec"}') + ".AA.AA",
    "\xff.\xfe.\xfd",
    "",
    "..",
]


@pytest.mark.parametrize("value", INVALID_TOKENS, ids=range(len(INVALID_TOKENS)))
def test_invalid_tokens_are_rejected(value: str) -> None:
    refuses(value)


def test_largest_token_and_unknown_headers_are_accepted() -> None:
    accepts(token(EC, "ES256", claims(padding="x" * 4400), typ="at+jwt", nonce="n", x5t="y" * 900))


def test_only_signing_keys_are_used() -> None:
    changes: list[dict[str, object]] = [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": []},
        {"key_ops": 7},
        {"alg": "ES384"},
        {"alg": "HS256"},
        {"alg": 7},
        {"crv": "P-384"},
        {"y": EC2.as_dict()["y"]},
        {"kid": 7},
        {"kty": "oct", "k": "AAAA"},
        {"kty": ["EC"]},
        {"d": EC.as_dict(private=True)["d"]},
    ]
    for members in changes:
        refuses_key(token(EC), public(EC, **members))
    refuses_key(token(RSA, "PS256"), public(RSA, alg="RS256"))
    refuses_key(token(EC, "ES256", None, kid="x"), public(OKPKey.generate_key("X25519"), kid="x"))
    refuses_key(token(EC, "ES256", None, kid="k"), public(ECKey.generate_key("secp256k1"), kid="k"))


def refuses_key(value: str, key: dict[str, object]) -> None:
    async def work() -> None:
        issuer = Issuer(key, EC2)
        await issuer.refuses(value)
        assert await issuer.identify(token(EC2)) == USER
        # Only one usable key remains, so a token need not name it.
        if key.get("kid") != "rsa":
            assert await issuer.identify(token(EC2, "ES256", None, kid=...)) == USER

    in_a_loop(work())


@pytest.mark.filterwarnings("ignore::joserfc.errors.SecurityWarning")
def test_short_rsa_key_is_ignored() -> None:
    short = RSAKey.generate_key(1024, {"kid": "short"})

    refuses(token(short, "RS256"), short, EC)


def test_token_without_key_id_needs_a_set_with_one_key() -> None:
    anonymous = token(EC, "ES256", None, kid=...)

    accepts(anonymous, EC)
    accepts(anonymous, public(EC, kid=...))
    accepts(anonymous, EC, {"kty": "oct", "k": "AAAA", "kid": "o"}, {"kty": "new"})
    refuses(anonymous, EC, EC2)
    # An empty key ID is a key ID.
    refuses(token(EC, "ES256", None, kid=""), EC)


def test_keys_with_equal_ids_are_distinguished_by_algorithm() -> None:
    both = (public(RSA, kid="one"), public(EC, kid="one"))

    accepts(token(EC, "ES256", None, kid="one"), *both)
    accepts(token(RSA, "RS256", None, kid="one"), *both)


def test_token_may_be_signed_by_any_key_with_its_id() -> None:
    """Issuers that replace a key under the same ID publish both for a while (RFC 7517, 4.5)."""
    rsa2, p384 = RSAKey.generate_key(2048), ECKey.generate_key("P-384")
    every = [public(key, kid="one") for key in (EC, RSA, EC2, rsa2, p384)]

    for keys in (every, every[::-1]):
        for key, alg in ((EC, "ES256"), (EC2, "ES256"), (RSA, "PS256"), (rsa2, "RS256")):
            accepts(token(key, alg, None, kid="one"), *keys)
        accepts(token(p384, "ES384", None, kid="one"), *keys)

    other = public(KEYS["ES384"], kid="other")
    third = ECKey.generate_key("P-256")
    refuses(token(third, "ES256", None, kid="one"), *every, EC)
    refuses(token(KEYS["ES384"], "ES384", None, kid="one"), *every, other, EC)
    refuses(token(EC2, "ES256", None, kid="one"), public(EC, kid="one"), EC2, EC)


def test_only_keys_that_allow_the_algorithm_are_tried() -> None:
    both = (public(RSA, kid="one", alg="PS256"), public(EC2, kid="one"))

    accepts(token(RSA, "PS256", None, kid="one"), *both)
    refuses(token(RSA, "RS256", None, kid="one"), *both, EC)


COOKIE_RULES = JwtRules(jwks_url="", issuer=ISSUER, audience=AUDIENCE, cookie="session")


def headers(*pairs: tuple[str, str]) -> Scope:
    sent = [(name.encode(), value.encode("latin-1")) for name, value in pairs]
    return {"client": ("203.0.113.7", 1), "headers": sent}


def test_token_is_read_from_header_or_cookie() -> None:
    good, bad = token(), token(EC2)

    for scheme in ("Bearer", "bearer", "BEARER"):
        accepts(headers(("authorization", f"{scheme} {good}")))
    for cookie in (f"session={good}", f"a=b; session={good};c=d", f"Session=x;session={good}"):
        accepts(headers(("cookie", cookie)), rules=COOKIE_RULES)
    accepts(headers(("cookie", "a=b"), ("cookie", f"session={good}")), rules=COOKIE_RULES)
    accepts(
        headers(("cookie", f"session={bad}"), ("authorization", f"Bearer {good}")),
        rules=COOKIE_RULES,
    )


def test_ambiguous_or_misplaced_tokens_are_rejected() -> None:
    good, bad = token(), token(EC2)

    async def work() -> None:
        issuer = Issuer(EC)
        await issuer.refuses(headers(), MISSING)
        await issuer.refuses(headers(("cookie", f"session={good}")), MISSING)
        cookies = Issuer(EC, rules=COOKIE_RULES)
        await cookies.refuses(headers(("cookie", f"xsession={good}; session")))
        await cookies.refuses(headers(("cookie", f"xsession={good}")), MISSING)
        assert issuer.fetches == 0
        for scope in (
            headers(("authorization", good)),
            headers(("authorization", f"Basic {good}")),
            headers(("authorization", f"Bearer{good}")),
            headers(("authorization", "Bearer")),
            headers(("authorization", f"Bearer {good}"), ("authorization", f"Bearer {good}")),
            headers(("authorization", f"Bearer {good}, Bearer {good}")),
        ):
            await issuer.refuses(scope)
        for scope in (
            headers(("cookie", f"session={good}; session={good}")),
            headers(("cookie", f"session={good}"), ("cookie", "session=")),
            headers(("cookie", f"session={good}"), ("authorization", f"Bearer {bad}")),
            headers(("cookie", f"session={good}"), ("authorization", "Basic eDp5")),
        ):
            await cookies.refuses(scope)

    in_a_loop(work())


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from([*EVERY_ALGORITHM.split(), "none", "HS256"]) | JSON_VALUES,
        "kid": st.sampled_from(["ec", "rsa"]) | JSON_VALUES,
        "crit": JSON_VALUES,
        "b64": JSON_VALUES,
        "typ": JSON_VALUES,
        "x5c": JSON_VALUES,
    },
).map(lambda value: json.dumps(value).encode())
SEGMENTS = st.lists(st.binary(max_size=40) | HEADERS, max_size=5).map(
    lambda parts: ".".join(map(b64, parts)).encode()
)


@settings(deadline=None, max_examples=examples(100))
@given(st.binary() | st.text().map(str.encode) | SEGMENTS, st.booleans())
@example(b"\xff.\xff.\xff", True)
def test_any_garbage_is_rejected_without_another_error(garbage: bytes, named: bool) -> None:
    async def work() -> None:
        scope = bearer(garbage)
        if not named:
            scope = {"headers": [(b"authorization", garbage), (b"cookie", garbage)]}
        with pytest.raises((Unauthenticated, IdentityUnavailable)) as caught:
            await Issuer(EC, RSA, rules=COOKIE_RULES).identify(scope)
        assert_reveals_nothing(caught.value)

    in_a_loop(work())


@settings(deadline=None, max_examples=examples(60))
@given(
    st.dictionaries(
        st.sampled_from(["iss", "aud", "sub", "exp", "nbf", "iat", "jti"]) | st.text(), JSON_VALUES
    )
)
def test_any_signed_claims_cause_no_other_error(changed: dict[str, object]) -> None:
    async def work() -> None:
        with suppress(Unauthenticated):
            user = await Issuer(EC).identify(token(EC, "ES256", claims(**changed)))
            assert user == claims(**changed)["sub"]
            assert user.encode("utf-8").strip()

    in_a_loop(work())


@settings(deadline=None, max_examples=examples(60))
@given(
    st.binary()
    | JSON_VALUES.map(lambda value: json.dumps(value).encode())
    | st.lists(st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "kid"]), JSON_VALUES)).map(
        lambda keys: json.dumps({"keys": keys}).encode()
    )
)
@example(b"")
@example(b"[" * 100_000)
@example(b'{"keys": []}')
@example(jwks({"kty": "oct", "k": "AAAA", "kid": "ec"}))
@example(jwks(*[EC] * 101))
def test_unusable_key_set_counts_as_a_failure(document: bytes) -> None:
    async def work() -> None:
        issuer = Issuer(EC)
        issuer.document = document
        with capture_logs() as lines:
            await issuer.is_unavailable()
        assert lines == [
            {
                "event": "key_set_unavailable",
                "log_level": "warning",
                "exception": "UnusableKeySet",
                "keys": 0,
            }
        ]

    in_a_loop(work())


def test_key_set_may_have_a_hundred_keys() -> None:
    accepts(token(), *[EC2] * 99, EC)


def test_new_key_works_at_once_and_removed_key_is_rejected() -> None:
    async def work() -> None:
        issuer = Issuer(EC)
        assert await issuer.identify(token(EC)) == USER
        issuer.document = jwks(EC, EC2)
        assert await issuer.identify(token(EC2)) == USER
        assert await issuer.identify(token(EC)) == USER
        assert issuer.fetches == 2

        issuer.document = jwks(EC2)
        issuer.pauses.end()
        while issuer.fetches == 2:
            await issuer.pauses.asked.get()
        await issuer.refuses(token(EC))
        assert await issuer.identify(token(EC2)) == USER

    in_a_loop(work())


def test_unknown_key_ids_cause_one_fetch_per_ten_seconds() -> None:
    async def work() -> None:
        issuer = Issuer(EC)
        assert await issuer.identify(token(EC)) == USER
        for seconds in range(31):
            fetched = issuer.fetches
            for number in range(5):
                await issuer.refuses(token(EC, "ES256", None, kid=f"{seconds}-{number}"))
            assert issuer.fetches - fetched == (1 if seconds % 10 == 0 else 0)
            issuer.clock.now += 1
        issuer.error = ConnectionError(CANARY)
        issuer.clock.now += 10
        fetched = issuer.fetches
        for number in range(5):
            await issuer.refuses(token(EC, "ES256", None, kid=f"x{number}"))
        assert issuer.fetches == fetched + 1
        # These are invalid for another reason than the key ID.
        issuer.clock.now += 10
        await issuer.refuses(token(EC2, "ES256", None, kid="ec"))
        await issuer.refuses(token(RSA, "RS256", None, kid="ec"))
        await issuer.refuses(token(EC2, "ES256", None, kid=...))
        await issuer.refuses(unsigned('{"alg": "HS256", "kid": "unknown"}'))
        await issuer.refuses(token(EC, "ES256", None, kid=["unknown"]))
        assert issuer.fetches == fetched + 1

    in_a_loop(work())


def test_visitors_share_one_fetch_that_none_can_cancel() -> None:
    async def work() -> None:
        issuer = Issuer(EC)
        for keys in ((EC,), (EC, EC2)):
            issuer.document = jwks(*keys)
            issuer.open.clear()
            issuer.asked.clear()
            fetched = issuer.fetches
            visitors = [asyncio.create_task(issuer.identify(token(keys[-1]))) for _ in range(20)]
            await issuer.asked.wait()
            visitors[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await visitors[0]
            issuer.open.set()
            assert await asyncio.gather(*visitors[1:]) == [USER] * 19
            assert issuer.fetches == fetched + 1

    in_a_loop(work())


def test_failed_first_fetch_is_retried_until_it_succeeds(
    logs: list[MutableMapping[str, Any]],
) -> None:
    async def work() -> None:
        issuer = Issuer(EC)
        issuer.error = ConnectionError(CANARY)
        issuer.authenticator.start()
        issuer.authenticator.start()
        await issuer.pauses.asked.get()
        assert issuer.fetches == 1
        # There is no new attempt right after a failure.
        await issuer.is_unavailable()
        assert issuer.fetches == 1
        issuer.clock.now += 1
        await issuer.is_unavailable()
        assert issuer.fetches == 2
        await issuer.refuses("garbage")
        assert not issuer.authenticator.ready

        # Visitors wait for a fetch that is in progress.
        issuer.error = None
        issuer.open.clear()
        issuer.asked.clear()
        issuer.pauses.end()
        await issuer.asked.wait()
        visitor = asyncio.create_task(issuer.identify(token()))
        await asyncio.sleep(0)
        issuer.open.set()
        assert await visitor == USER
        await issuer.pauses.asked.get()
        assert issuer.authenticator.ready
        assert issuer.fetches == 3

    in_a_loop(work())
    unavailable, loaded = logs
    assert unavailable == {
        "event": "key_set_unavailable",
        "log_level": "warning",
        "exception": "ConnectionError",
        "keys": 0,
    }
    assert loaded == {"event": "key_set_loaded", "log_level": "info", "keys": 1}


def test_first_visitor_starts_the_refresh_if_start_was_not_called() -> None:
    async def work() -> None:
        issuer = Issuer(EC)
        await issuer.refuses("garbage")
        assert issuer.fetches == 0
        issuer.error = ConnectionError(CANARY)
        await issuer.is_unavailable()
        issuer.error = None
        issuer.clock.now += 1
        assert await issuer.identify(token()) == USER
        # From then on the key set is also refreshed.
        issuer.document = jwks(EC2)
        await issuer.pauses.asked.get()
        issuer.pauses.end()
        await issuer.pauses.asked.get()
        await issuer.refuses(token(EC))

    in_a_loop(work())


def test_old_keys_stay_in_use_during_an_outage(logs: list[MutableMapping[str, Any]]) -> None:
    async def work() -> None:
        issuer = Issuer(EC)
        issuer.authenticator.start()
        await issuer.pauses.asked.get()
        for failure in (ConnectionError(CANARY), ValueError(CANARY), None):
            issuer.error = failure
            issuer.document = CANARY.encode()
            issuer.pauses.end()
            await issuer.pauses.asked.get()
            assert issuer.authenticator.ready
            assert await issuer.identify(token(EC)) == USER
        issuer.document = jwks(EC2)
        issuer.pauses.end()
        await issuer.pauses.asked.get()
        await issuer.refuses(token(EC))

    in_a_loop(work())
    assert [(line["event"], line["keys"]) for line in logs] == [
        ("key_set_unavailable", 1),
        ("key_set_loaded", 1),
    ]


def test_fetches_back_off_after_failures() -> None:
    async def pause(issuer: Issuer) -> float:
        issuer.pauses.end()
        return await issuer.pauses.asked.get()

    async def work() -> None:
        issuer = Issuer(EC)
        issuer.error = ConnectionError()
        issuer.authenticator.start()
        seconds = [await issuer.pauses.asked.get()] + [await pause(issuer) for _ in range(9)]
        for asked, most in zip(seconds, (0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30), strict=True):
            assert 0.8 * most <= asked <= most
        assert len({asked / most for asked, most in zip(seconds[-4:], [30] * 4, strict=True)}) > 1
        issuer.error = None
        assert 480 <= await pause(issuer) <= 600
        issuer.error = ConnectionError()
        assert 0.4 <= await pause(issuer) <= 0.5

    in_a_loop(work())


def test_close_cancels_pending_work() -> None:
    async def work() -> None:
        await Issuer(EC).authenticator.close()
        issuer = Issuer(EC)
        issuer.open.clear()
        issuer.authenticator.start()
        visitor = asyncio.create_task(issuer.is_unavailable())
        await issuer.asked.wait()
        await asyncio.sleep(0)
        await issuer.authenticator.close()
        await issuer.authenticator.close()
        await visitor
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert issuer.fetches == 1

    in_a_loop(work())


def test_key_rotation_and_outage_over_http() -> None:
    """Key rotation and an outage, with a real issuer."""
    published: list[Key] = [EC]
    served: list[int] = []

    async def keys(_: Request) -> Response:
        served.append(200 if published else 503)
        return Response(jwks(*published), served[-1], media_type="application/json")

    with serving(Starlette(routes=[Route("/keys", keys)])) as url:

        def get() -> bytes:
            response = requests.get(f"{url}/keys", timeout=5)
            response.raise_for_status()
            return response.content

        async def work() -> None:
            clock = Clock()
            authenticator = JwtAuthenticator(RULES, lambda: asyncio.to_thread(get), clock=clock)
            authenticator.start()
            assert await authenticator.identify(bearer(token(EC))) == USER
            published[:] = [EC2]
            assert await authenticator.identify(bearer(token(EC2))) == USER
            with pytest.raises(Unauthenticated):
                await authenticator.identify(bearer(token(EC)))
            published.clear()
            clock.now += 10
            with pytest.raises(Unauthenticated):
                await authenticator.identify(bearer(token(RSA, "RS256")))
            assert await authenticator.identify(bearer(token(EC2))) == USER
            await authenticator.close()

        in_a_loop(work())
    assert served == [200, 200, 503]


def test_jwt_library_is_not_imported_unless_used() -> None:
    code = "import sys, edge_service.app; sys.exit('joserfc' in sys.modules)"

    subprocess.run([sys.executable, "-c", code], check=True)


def test_repr_contains_no_secret() -> None:
    assert "canary" not in repr(RULES)
    assert "canary" not in repr(JwtAuthenticator(RULES, Issuer(EC).fetch))


PROXY = "10.0.0.1"


def forwarded(*values: str | bytes, peer: str | None = PROXY, name: str = "x-user") -> Scope:
    sent = [value.encode() if isinstance(value, str) else value for value in values]
    client = None if peer is None else (peer, 1)
    return {"client": client, "headers": [(name.encode(), value) for value in sent]}


def ask(scope: Scope, trusted: str | None = "10.0.0.0/8") -> str:
    """The user, or the challenge."""
    networks = [ipaddress.ip_network(trusted)] if trusted else []
    authenticator = ForwardedAuthenticator(ForwardedRules("X-User"), ClientAddresses(networks))
    assert authenticator.ready
    answers: list[str] = []

    async def work() -> None:
        authenticator.start()
        try:
            answers.append(await authenticator.identify(scope))
        except Unauthenticated as error:
            assert_reveals_nothing(error)
            answers.append((error.headers or {})["WWW-Authenticate"])
        await authenticator.close()

    in_a_loop(work())
    return answers[0]


@pytest.mark.parametrize(
    ("value", "user"),
    [
        (USER, USER),
        (f" {USER}\t", USER),
        ("Jo Doe <jo@example.com>", "Jo Doe <jo@example.com>"),
        ("Zoë", "Zoë"),
        ("Zoë".encode("latin-1"), "Zoë"),
        ("é" * 256, "é" * 256),
        ("x" * 257, INVALID),
        ("", INVALID),
        (" \t ", INVALID),
        ("a\nb", INVALID),
        ("a\0b", INVALID),
        ("a\u2028b", INVALID),
        ("a\u202eb", INVALID),
        (b"\x80", INVALID),
        (b"\xed\xa0\x80", INVALID),
    ],
)
def test_user_header_is_validated(value: str | bytes, user: str) -> None:
    assert ask(forwarded(value)) == user


def test_only_a_trusted_proxy_may_name_a_user() -> None:
    assert ask(forwarded(USER), None) == MISSING
    for peer in ("203.0.113.7", None, "", "testclient"):
        assert ask(forwarded(USER, peer=peer)) == MISSING
    spoofed = forwarded(USER, peer="203.0.113.7")
    spoofed["headers"].append((b"x-forwarded-for", PROXY.encode()))
    assert ask(spoofed) == MISSING
    assert ask(forwarded(USER, peer=f"::ffff:{PROXY}")) == USER


def test_user_header_must_appear_once_with_the_configured_name() -> None:
    assert ask(forwarded()) == MISSING
    assert ask(forwarded(USER, name="x-forwarded-user")) == MISSING
    assert ask(forwarded(USER, name="x_user")) == MISSING
    assert ask(forwarded(USER, USER)) == INVALID
    assert ask(forwarded(USER, "")) == INVALID
    assert ForwardedRules().header == "X-Forwarded-User"


@settings(deadline=None)
@given(st.binary(max_size=600) | st.text(max_size=300).map(lambda text: text.encode("utf-8")))
def test_any_user_header_gives_a_printable_user_or_a_challenge(value: bytes) -> None:
    user = ask(forwarded(value))

    assert user.isprintable()
    assert 0 < len(user) <= 256
