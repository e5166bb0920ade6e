"""The keys that sign visitors' tokens (RFC 7517), kept fresh, and the tokens signed with them.

Import it only for visitor authentication with JWTs: joserfc takes a good part of a process' start.
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

REFRESH_SECONDS = 600.0
FIRST_RETRY_SECONDS = 0.5
MAX_RETRY_SECONDS = 30.0
SEARCH_SECONDS = 10.0
ON_DEMAND_SECONDS = 1.0
MAX_KEYS = 100
MAX_TOKEN_BYTES = 8 * 1024
MIN_RSA_BITS = 2048  # RFC 7518, section 3.3

# By key type and curve. No symmetric algorithm, so that a public key can never serve as a secret.
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
    """A document that is no JWKS, or one without a key that could have signed a token."""


class SignedToken:
    """A JWT as it arrived: nothing in it is true before `claims` has checked its signature.

    Attributes:
        algorithm: the asymmetric algorithm that it says it is signed with.
        kid: which key it says it is signed with, if it says.
    """

    __slots__ = ("_jws", "algorithm", "kid")

    def __init__(self, jws: CompactSignature, algorithm: str, kid: str | None) -> None:
        self._jws = jws
        self.algorithm = algorithm
        self.kid = kid

    @classmethod
    def read(cls, token: bytes) -> SignedToken | None:
        """Take a token apart; `None` when it is not one that could be accepted."""
        if len(token) > MAX_TOKEN_BYTES:
            return None
        # Garbage raises far more than joserfc's own errors: TypeError, RecursionError, ...
        with suppress(Exception):
            jws = extract_compact(token, registry=_REGISTRY)
            header = jws.headers()
            _REGISTRY.check_header(header)
            if "crit" not in header and header["alg"] in _ALL_ALGORITHMS:
                return cls(jws, header["alg"], header.get("kid"))
        return None

    def claims(self, key: Key) -> JSON | None:
        """The claims, when this key did sign them."""
        with suppress(Exception):
            if validate_compact(self._jws, key, registry=_REGISTRY):
                claims = parse_json(self._jws.payload)
                return claims if isinstance(claims, dict) else None
        return None


class KeySet:
    """A JWKS that loads itself, and stays in use when its source fails.

    Args:
        fetch: gets the document, and raises when it cannot.
        clock: monotonic seconds.
        sleep: waits between refreshes.
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
        self._next_search = self._next_on_demand = float("-inf")
        self._log = structlog.get_logger("service")

    @property
    def ready(self) -> bool:
        """Whether there are keys."""
        return bool(self._keys)

    def start(self) -> None:
        """Load and refresh in the background, unless that goes on already."""
        if not _runs(self._refreshing):
            self._refreshing = asyncio.get_running_loop().create_task(self._keep_fresh())

    async def close(self) -> None:
        """Stop what goes on in the background."""
        tasks = [task for task in (self._refreshing, self._loading) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def load_on_demand(self) -> bool:
        """Whether there are keys, after an attempt to get some if there were none."""
        # A mounted application gets no lifespan, so this may be the first call ever.
        self.start()
        if not self._keys and (_runs(self._loading) or self._clock() >= self._next_on_demand):
            await self._load()
        return self.ready

    async def key_for(self, token: SignedToken) -> Key | None:
        """The key that a token names, if it is one of these and fit for the token's algorithm.

        An unknown name may be that of a new key, so it is worth a look at the source, but not so
        often that anybody could have us flood it.
        """
        if token.kid is not None and not self._named(token.kid) and self._may_search():
            await self._load()
        candidates = self._named(token.kid)
        return next((key.key for key in candidates if token.algorithm in key.algorithms), None)

    def _named(self, kid: str | None) -> tuple[VerificationKey, ...]:
        """The keys of a name; without one the only key there is, for nothing may be guessed."""
        if kid is None:
            return self._keys if len(self._keys) == 1 else ()
        return tuple(key for key in self._keys if key.kid == kid)

    def _may_search(self) -> bool:
        if _runs(self._loading):
            return True
        now = self._clock()
        if now < self._next_search:
            return False
        self._next_search = now + SEARCH_SECONDS
        return True

    async def _keep_fresh(self) -> None:
        retry = FIRST_RETRY_SECONDS
        while True:
            await self._load()
            if self.failing:
                pause, retry = retry, min(2 * retry, MAX_RETRY_SECONDS)
            else:
                pause, retry = REFRESH_SECONDS, FIRST_RETRY_SECONDS
            # Jitter, so that replicas that started together do not ask together.
            await self._sleep(pause * random.uniform(0.8, 1))  # noqa: S311 - no secret

    async def _load(self) -> None:
        """Wait for the fetch that is under way, or for a new one."""
        task = self._loading
        if task is None or task.done():
            task = self._loading = asyncio.get_running_loop().create_task(self._load_now())
        # Waiting does not tie their fates: a visitor who leaves must not end it for the others,
        # and when `close` ends it, the others have not been cancelled.
        await asyncio.wait([task])

    async def _load_now(self) -> None:
        try:
            self._keys = parse_key_set(await self._fetch())
        except Exception as error:  # noqa: BLE001 - whatever it is, the old keys stay in use
            if not self.failing:
                # Its text may quote the address or the answer, so only the class is logged.
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
        kid: its name, if it has one.
        algorithms: those that it may verify.
        key: itself.
    """

    kid: str | None
    algorithms: frozenset[str]
    key: Key = field(repr=False)


class _Registry(JWSRegistry):
    """Asymmetric algorithms only, and unknown header parameters are ignored (RFC 7515, 4)."""

    max_header_length = max_payload_length = max_signature_length = MAX_TOKEN_BYTES

    def get_alg(self, name: str) -> JWSAlgModel:
        # Unlike the original, without a warning about EdDSA: most issuers know no newer name.
        if name not in _ALL_ALGORITHMS:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


_REGISTRY = _Registry(algorithms=sorted(_ALL_ALGORITHMS), strict_check_header=False)


def _runs(task: asyncio.Task[None] | None) -> bool:
    return task is not None and not task.done()


def parse_key_set(document: bytes) -> tuple[VerificationKey, ...]:
    """The keys of a JWKS document that can verify visitors' tokens.

    Raises:
        UnusableKeySet: there are none.
    """
    try:
        parsed = parse_json(document)
    except InvalidJson:
        parsed = None
    entries = parsed.get("keys") if isinstance(parsed, dict) else None
    if not isinstance(entries, list) or len(entries) > MAX_KEYS:
        raise UnusableKeySet
    keys = tuple(key for key in map(_verification_key, entries) if key is not None)
    if not keys:
        raise UnusableKeySet
    return keys


def _verification_key(entry: object) -> VerificationKey | None:
    """One key of a set; `None` when it cannot verify, which is no fault (RFC 7517, section 5)."""
    # A key whose private half is published proves nothing about who signed.
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
