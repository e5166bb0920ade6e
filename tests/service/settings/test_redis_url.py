"""The URL of Redis: every form of it, and one clear line for each mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_service.settings.redis_url import RedisAddress, redis_address, redis_url
from tests.support.certificates import self_signed

CANARY = "canary-password-51c2"


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://redis", RedisAddress("server", (("redis", 6379),))),
        ("redis://redis:7000/", RedisAddress("server", (("redis", 7000),))),
        (
            "redis://user:p%40ss%2F%2C@[2001:db8::1]:7000/12",
            RedisAddress("server", (("2001:db8::1", 7000),), database=12, user=("user", "p@ss/,")),
        ),
        (
            "rediss://:p@redis",
            RedisAddress("server", (("redis", 6379),), user=("", "p"), is_tls=True),
        ),
        (
            "rediss://redis?ssl_check_hostname=False",
            RedisAddress("server", (("redis", 6379),), is_tls=True, checks_host=False),
        ),
        ("unix:///run/redis.sock", RedisAddress("socket", path="/run/redis.sock")),
        (
            "redis+unix://user:p@/run/a%20b.sock?db=2",
            RedisAddress("socket", path="/run/a b.sock", database=2, user=("user", "p")),
        ),
        (
            "redis+sentinel://user:p@one:1,[2001:db8::1]:2,three/docs?db=3",
            RedisAddress(
                "sentinel",
                (("one", 1), ("2001:db8::1", 2), ("three", 26379)),
                service="docs",
                database=3,
                user=("user", "p"),
                sentinel_user=("user", "p"),
            ),
        ),
        (
            "redis+sentinel://user:p@one/docs?sentinel_password=&ssl=true",
            RedisAddress(
                "sentinel", (("one", 26379),), service="docs", user=("user", "p"), is_tls=True
            ),
        ),
        (
            "redis+sentinel://user:p@one/docs?sentinel_username=u&sentinel_password=q%26",
            RedisAddress(
                "sentinel",
                (("one", 26379),),
                service="docs",
                user=("user", "p"),
                sentinel_user=("u", "q&"),
            ),
        ),
        (
            "redis+cluster://:p@one:1,two",
            RedisAddress("cluster", (("one", 1), ("two", 6379)), user=("", "p")),
        ),
        (
            "redis+cluster://one?ssl=true",
            RedisAddress("cluster", (("one", 6379),), is_tls=True),
        ),
    ],
)
def test_url_is_parsed(url: str, address: RedisAddress) -> None:
    assert redis_address(url) == address
    assert redis_url(f" {url}\n") == url
    assert "p" not in repr(redis_address(url)).lower().split("redisaddress")[-1]


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("", "redis://host:6379/0"),
        (CANARY, "redis+cluster://"),
        (f"http://:{CANARY}@127.0.0.1", "unix:///run"),
        (f"redis://:pass/{CANARY}@127.0.0.1:6379", "write / as %2F"),
        (f"redis://:a#b{CANARY}@127.0.0.1:6379", "write # as %23"),
        (f"redis://:a?b{CANARY}@127.0.0.1:6379", "write ? as %3F"),
        (f"redis://:100%x{CANARY}@127.0.0.1:6379", "write % as %25"),
        (f"redis://:a[b{CANARY}@127.0.0.1:6379", "write [ as %5B"),
        (f"redis://:a b{CANARY}@127.0.0.1:6379", "write a space as %20"),
        (f"redis://me:{CANARY}@a/b%@127.0.0.1:6379/0", "write @ as %40 and / as %2F and % as %25"),
        (f"redis+sentinel://:#{CANARY}@one/docs", "write # as %23"),
        (f"redis+sentinel://one/docs?sentinel_password=a@{CANARY}&x=1", "unknown or repeated"),
        (f"redis://:{CANARY}@127.0.0.1:{CANARY}", "host and port"),
        (f"redis://:{CANARY}@127.0.0.1:0", "host and port"),
        (f"redis://:{CANARY}@127.0.0.1:", "host and port"),
        (f"redis://:{CANARY}@[127.0.0.1", "redis://host"),
        (f"redis://:{CANARY}@", "host and port"),
        (f"redis://:{CANARY}@one,two", "host and port"),
        (f"redis://:{CANARY}@one two", "redis://host"),
        (f"redis://:{CANARY}@one#{CANARY}", "redis://host"),
        (f"redis://:{CANARY}@one/{CANARY}", "database by number"),
        (f"redis://:{CANARY}@one/1/2", "database by number"),
        (f"redis://:{CANARY}@one?db=1", "unknown or repeated option"),
        (f"redis://:{CANARY}@one?{CANARY}=1", "unknown or repeated option"),
        (f"redis://:{CANARY}@one?ssl_ca_certs=/dev/null", "rediss://"),
        (f"rediss://:{CANARY}@one?ssl_cert_reqs=none", "unknown or repeated option"),
        (f"rediss://:{CANARY}@one?ssl_check_hostname={CANARY}", "true or false"),
        (f"rediss://one?ssl_ca_certs=/{CANARY}", "readable file of certificates"),
        (f"rediss://one?ssl_certfile=/{CANARY}", "both"),
        (f"rediss://one?ssl_certfile=/{CANARY}&ssl_keyfile=/{CANARY}", "readable PEM files"),
        (f"unix://{CANARY}", "path of a socket"),
        (f"unix://:{CANARY}@", "path of a socket"),
        (f"unix:///{CANARY}%00", "path of a socket"),
        (f"unix:///{CANARY}?db={CANARY}", "database by number"),
        (f"redis+sentinel://:{CANARY}@one", "service of Sentinel"),
        (f"redis+sentinel://:{CANARY}@one/{CANARY}/2", "service of Sentinel"),
        (f"redis+sentinel://:{CANARY}@one,/docs", "host and port"),
        (f"redis+sentinel://one/docs?db=1&db={CANARY}", "unknown or repeated option"),
        (f"redis+sentinel://one/docs?ssl={CANARY}", "true or false"),
        (f"redis+cluster://:{CANARY}@one/1", "must not name a database"),
        (f"redis+cluster://:{CANARY}@one?db=1", "unknown or repeated option"),
    ],
)
def test_invalid_url_is_rejected_without_quoting_it(url: str, advice: str) -> None:
    with pytest.raises(ValueError, match=r"^[a-z][^\n]+$") as caught:
        redis_address(url)

    assert advice in str(caught.value)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


def test_key_with_a_password_is_rejected_without_asking_for_it(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as forms

    certificate, key = self_signed(tmp_path)
    private = forms.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        private.private_bytes(
            forms.Encoding.PEM,
            forms.PrivateFormat.PKCS8,
            forms.BestAvailableEncryption(CANARY.encode()),
        )
    )
    with pytest.raises(ValueError, match="without a password"):
        redis_address(f"rediss://one?ssl_certfile={certificate}&ssl_keyfile={key}")


def test_files_for_tls_are_kept(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    files = {"ssl_certfile": certificate, "ssl_keyfile": key, "ssl_ca_certs": certificate}
    query = "&".join(f"{name}={path}" for name, path in files.items())

    found = redis_address(f"redis+cluster://one?ssl=true&{query}")

    assert dict(found.files) == {name: str(path) for name, path in files.items()}
