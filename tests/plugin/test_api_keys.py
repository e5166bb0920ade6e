"""A value is reported where it looks like a key, and never where it looks like an ID."""

from __future__ import annotations

import base64
import hashlib
import random
import string
import uuid
from collections.abc import Callable

import pytest

from mkdocs_sentifyd.api_keys import find_api_key

KEYS = [
    "sk_live_1234567890",
    "sk-proj-9aZ81kfjZ0",
    "pk_test_51Hh2kd9",
    "key-1234567890",
    "api_key_0a1b2c3d4e",
    "secret_0a1b2c3d4e",
    "avtr_sk_9f8e7d6c5b4a39281706",
    "sentifyd-secret-key-a1b2c3d4e5f6a7b8",
    "SK_LIVE_9F8E7D6C5B4A39281706",
    "SENTIFYD_API_KEY_9F8E7D6C5B4A39281706",
    "avtr.secret.a1b2c3d4e5f6a7b8c9",
    "aB3" * 14,
    "kD3-vR_8" * 4,
    "0f" * 20,
    "Zm9vYmFyMTIzNDU2Nzg5MGFiY2RlZmdoaWprbG1ub3A=",
    "Tz+8kQ/fV0b1mXy2Zp9LwR3cN4sD5eG6hJ7aK8uB0iE=",
    "mfrggzdfmztwq2lknnwg23tpobyxe43uov3ho6dzpi2tcmrtgq2t",
    "MFRGGZDFMZTWQ2LKNNWG23TPOBYXE43UOV3HO6DZPI2TCMRTGQ2T",
    "eyJhbGciOiJI.eyJzdWIiOiIx.sig",
    "AVATAR_API_KEY=hunter2hunter2",
    "api-key: hunter2hunter2",
    "Bearer hunter2hunter2",
]
IDS = [
    "avtr_1234abcd",
    "avtr_Xk29fLq07ZbR",
    "1",
    "123456",
    "9007199254740993",
    "4f0c2a9e-6f0b-4b0e-9a55-0d6c1f6a7b21",
    "4F0C2A9E-6F0B-4B0E-9A55-0D6C1F6A7B21",
    "4f0c2a9e6f0b4b0e9a550d6c1f6a7b21",
    "507f1f77bcf86cd799439011",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "V1StGXR8_Z5jdHi6B-myT",
    "cjld2cjxh0000qzrmn831i7rn",
    "tz4a98xxat96iws9zmbrgj3a",
    "0ujtsYcgvSTl8PAuAdqWYSMnLOv",
    "fE9DBbTtRmyfPA1P0Z3oZA==",
    "QXZhdGFyOjEyMzQ1Ng==",
    "avatar:507f1f77bcf86cd799439011",
    "key-account-manager",
    "secret-santa-bot",
    "docs-sk-bratislava-support",
    "help_sk_verzia2",
    "shop-sk-2024",
    "api-key-helper",
    "monkey-business-2024",
    "token-service-docs",
    "support.example.com-2024",
    "acme/docs-assistant-2024",
    "Acme_Documentation_Assistant",
]


@pytest.mark.parametrize("value", KEYS)
def test_key_in_place_of_the_id_is_found(value: str) -> None:
    assert find_api_key({"avatar_id": value}) == "avatar_id"
    assert find_api_key({"overrides": [{"avatar_id": value}]}) == "overrides.avatar_id"
    assert find_api_key({"avatar-id": value}) == "avatar-id"


@pytest.mark.parametrize("value", IDS)
def test_id_is_not_taken_for_a_key(value: str) -> None:
    assert find_api_key({"avatar_id": value}) is None


def _of(letters: str, length: int) -> Callable[[random.Random], str]:
    return lambda source: "".join(source.choices(letters, k=length))


@pytest.mark.parametrize(
    "make",
    [
        lambda source: str(uuid.UUID(int=source.getrandbits(128), version=4)),
        lambda source: uuid.UUID(int=source.getrandbits(128), version=4).hex,
        lambda source: base64.b64encode(source.randbytes(16)).decode(),
        lambda source: base64.urlsafe_b64encode(source.randbytes(16)).decode().rstrip("="),
        lambda source: hashlib.md5(source.randbytes(8), usedforsecurity=False).hexdigest(),
        lambda source: str(source.getrandbits(64)),
        _of("0123456789abcdef", 24),
        _of("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 26),
        _of(string.ascii_letters + string.digits, 20),
        _of(string.ascii_letters + string.digits, 28),
        _of(string.ascii_lowercase + string.digits, 32),
    ],
)
def test_random_ids_of_usual_kinds_are_not_taken_for_keys(
    make: Callable[[random.Random], str],
) -> None:
    source = random.Random(7)
    for _ in range(300):
        value = make(source)
        for written in (value, f"avtr_{value[:20]}"):
            assert find_api_key({"avatar_id": written}) is None, written


@pytest.mark.parametrize(
    "make",
    [
        lambda source: base64.b64encode(source.randbytes(32)).decode(),
        lambda source: base64.urlsafe_b64encode(source.randbytes(32)).decode(),
        lambda source: source.randbytes(32).hex(),
        lambda source: "sk_" + _of(string.ascii_lowercase + string.digits, 24)(source) + "0a",
        lambda source: "avtr_sk_" + _of(string.ascii_letters + string.digits, 24)(source) + "0a",
    ],
)
def test_random_keys_of_usual_kinds_are_found(make: Callable[[random.Random], str]) -> None:
    source = random.Random(7)
    for _ in range(300):
        value = make(source)
        assert find_api_key({"avatar_id": value}) == "avatar_id", value
