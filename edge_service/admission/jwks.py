"""The issuer's key set (RFC 7517), refreshed in the background, and the tokens it verifies.

Import it only for visitor authentication with JWTs, because importing joserfc is slow.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from joserfc.errors import UnsupportedAlgorithmError
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import JWKRegistry, Key, RSAKey
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact, validate_compact

from edge_service.strict_json import JSON, InvalidJson, parse_json

__all__ = ["KeySet", "SignedToken", "UnusableKeySet", "VerificationKey", "parse_key_set"]

KEY_SET_REFRESH_SECONDS = 600.0
FIRST_RETRY_SECONDS = 0.5
MAX_RETRY_SECONDS = 30.0
# Minimum time between two fetches for an unknown key name, and while there are no keys at all.
UNKNOWN_KEY_SECONDS = 10.0
ON_DEMAND_SECONDS = 1.0
MAX_PUBLIC_KEYS = 100
MAX_TOKEN_BYTES = 8 * 1024
MIN_RSA_BITS = 2048  # RFC 7518, section 3.3

# By key type and curve. No symmetric algorithm: with one, a public key would work as the secret.
_ALGORITHMS = {
    ("RSA", None): frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}),
    ("EC", "P-256"): frozenset({"ES256"}),
    ("EC", "P-384"): frozenset({"ES384"}),
    ("EC", "P-521"): frozenset({"ES512"}),
    ("OKP", "Ed25519"): frozenset({"EdDSA", "Ed25519"}),
    ("OKP", "Ed448"): frozenset({"EdDSA", "Ed448"}),
}
_ALL_ALGORITHMS = frozenset[str]().union(*_ALGORITHMS.values())


class UnusableKeySet(ValueError):
    """The document is not a JWKS, or contains no key that can verify a token."""


class SignedToken:
    """A JWT as received. Trust nothing in it until `claims` has verified the signature.

    Attributes:
        algorithm: the asymmetric algorithm that its header names.
        kid: the key that its header names, or `None`.
    """

    __slots__ = ("_jws", "algorithm", "kid")

    def __init__(self, jws: CompactSignature, algorithm: str, kid: str | None) -> None:
        self._jws = jws
        self.algorithm = algorithm
        self.kid = kid

    @classmethod
    def read(cls, token: bytes) -> SignedToken | None:
        """Parse a token; `None` when it is malformed or its algorithm is not accepted."""
        if len(token) > MAX_TOKEN_BYTES:
            return None
        # Malformed input raises more than joserfc's own errors: TypeError, RecursionError, ...
        with suppress(Exception):
            jws = extract_compact(token, registry=_REGISTRY)
            header = jws.headers()
            _REGISTRY.check_header(header)
            if "crit" not in header and header["alg"] in _ALL_ALGORITHMS:
                return cls(jws, header["alg"], header.get("kid"))
        return None

    def claims(self, key: Key) -> JSON | None:
        """The claims, or `None` when this key did not sign them."""
        with suppress(Exception):
            if validate_compact(self._jws, key, registry=_REGISTRY):
                claims = parse_json(self._jws.payload)
                return claims if isinstance(claims, dict) else None
        return None


class KeySet:
    """A JWKS that is refreshed in the background. Old keys stay in use when a refresh fails.

    Args:
        fetch: fetches the document; raises when it cannot.
        clock: monotonic clock, in seconds.
        sleep: waits between refreshes; takes seconds.
    """

    def __init__(
        self,
        fetch: Callable[[], Awaitable[bytes]],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._fetch = fetch
        self._clock = clock
        self._sleep = sleep
        self._keys: tuple[VerificationKey, ...] = ()
        self.failing = False
        self._loading: asyncio.Task[None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._next_unknown = self._next_on_demand = float("-inf")
        self._log = structlog.get_logger("service")

    @property
    def ready(self) -> bool:
        """Whether there are keys."""
        return bool(self._keys)

    def start(self) -> None:
        """Start to load and refresh in the background, unless that is already running."""
        if not _runs(self._refreshing):
            self._refreshing = asyncio.get_running_loop().create_task(self._keep_fresh())

    async def close(self) -> None:
        """Stop the background work."""
        tasks = [task for task in (self._refreshing, self._loading) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def take_over(self, before: KeySet) -> None:
        """Continue with the keys of another key set of the same issuer."""
        self._keys, self.failing = before._keys, before.failing

    async def load_on_demand(self) -> bool:
        """Load the keys if there are none yet, and return whether there are keys."""
        # A mounted application gets no lifespan events, so this may be the first call.
        self.start()
        if not self._keys and (_runs(self._loading) or self._clock() >= self._next_on_demand):
            await self._load()
        return self.ready

    async def keys_for(self, token: SignedToken) -> list[Key]:
        """The keys that a token names, of those that may verify its algorithm.

        Several keys can have one name, such as a key and its replacement (RFC 7517, section 4.5).
        A token without a name means the only key of its set; with more keys it means none.

        An unknown name may belong to a new key, so the key set is fetched again. The rate is
        limited, so that forged tokens cannot flood the issuer.
        """
        if token.kid is not None and not self._named(token.kid) and self._may_fetch_unknown():
            await self._load()
        return [key.key for key in self._named(token.kid) if token.algorithm in key.algorithms]

    def _named(self, kid: str | None) -> tuple[VerificationKey, ...]:
        """The keys with this name; without a name, the key of a set that has exactly one."""
        if kid is None:
            return self._keys if len(self._keys) == 1 else ()
        return tuple(key for key in self._keys if key.kid == kid)

    def _may_fetch_unknown(self) -> bool:
        if _runs(self._loading):
            return True
        now = self._clock()
        if now < self._next_unknown:
            return False
        self._next_unknown = now + UNKNOWN_KEY_SECONDS
        return True

    async def _keep_fresh(self) -> None:
        retry = FIRST_RETRY_SECONDS
        while True:
            await self._load()
            if self.failing:
                pause, retry = retry, min(2 * retry, MAX_RETRY_SECONDS)
            else:
                pause, retry = KEY_SET_REFRESH_SECONDS, FIRST_RETRY_SECONDS
            # Jitter, so that replicas that started together do not fetch together.
            await self._sleep(pause * random.uniform(0.8, 1))  # noqa: S311 - no secret

    async def _load(self) -> None:
        """Wait for the current fetch, or start one."""
        task = self._loading
        if task is None or task.done():
            task = self._loading = asyncio.get_running_loop().create_task(self._load_now())
        # `wait` neither cancels the fetch when one visitor disconnects, nor raises in the others
        # when `close` cancels it.
        await asyncio.wait([task])

    async def _load_now(self) -> None:
        try:
            self._keys = parse_key_set(await self._fetch())
        except Exception as error:  # noqa: BLE001 - the old keys stay in use after any error
            if not self.failing:
                # The message may contain the URL or the response, so only the class is logged.
                self._log.warning(
                    "key_set_unavailable", exception=type(error).__name__, keys=len(self._keys)
                )
            self.failing = True
        else:
            if self.failing:
                self._log.info("key_set_loaded", keys=len(self._keys))
            self.failing = False
        self._next_on_demand = self._clock() + ON_DEMAND_SECONDS


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A public key of an issuer.

    Attributes:
        kid: its name, or `None`.
        algorithms: algorithms that it may verify.
        key: the key itself.
    """

    kid: str | None
    algorithms: frozenset[str]
    key: Key = field(repr=False)


class _Registry(JWSRegistry):
    """Asymmetric algorithms only; unknown header parameters are ignored (RFC 7515, section 4)."""

    max_header_length = max_payload_length = max_signature_length = MAX_TOKEN_BYTES

    def get_alg(self, name: str) -> JWSAlgModel:
        # joserfc warns about EdDSA, but most issuers do not use its newer names yet.
        if name not in _ALL_ALGORITHMS:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


_REGISTRY = _Registry(algorithms=sorted(_ALL_ALGORITHMS), strict_check_header=False)


def _runs(task: asyncio.Task[None] | None) -> bool:
    return task is not None and not task.done()


def parse_key_set(document: bytes) -> tuple[VerificationKey, ...]:
    """The keys of a JWKS document (RFC 7517) that can verify visitors' tokens.

    Raises:
        UnusableKeySet: there are none.
    """
    try:
        parsed = parse_json(document)
    except InvalidJson:
        parsed = None
    entries = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_PUBLIC_KEYS:
        raise UnusableKeySet
    keys = tuple(key for key in map(_verification_key, entries) if key is not None)
    if not keys:
        raise UnusableKeySet
    return keys


def _verification_key(entry: object) -> VerificationKey | None:
    """One key; `None` if it cannot verify, which is not an error (RFC 7517, section 5)."""
    # With a published private key, anybody could sign.
    if not isinstance(entry, dict) or "d" in entry:
        return None
    with suppress(Exception):
        kind = entry["kty"]
        algorithms = _ALGORITHMS[kind, None if kind == "RSA" else entry["crv"]]
        if "alg" in entry:
            algorithms &= {entry["alg"]}
        if entry.get("use", "sig") != "sig" or "verify" not in entry.get("key_ops", ["verify"]):
            return None
        key = JWKRegistry.import_key(entry)
        if isinstance(key, RSAKey) and key.public_key.key_size < MIN_RSA_BITS:
            return None
        if algorithms:
            return VerificationKey(key.kid, algorithms, key)
    return None
