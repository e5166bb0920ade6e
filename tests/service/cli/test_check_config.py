"""`sentifyd-edge check-config`: every mistake in its own line, without network."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_service.cli import main
from tests.support import missing
from tests.support.processes import Command

CANARY = "canary-7f3a91"
GOOD = {"AVATAR_API_KEY": CANARY, "ALLOWED_ORIGINS": "https://docs.example.com"}
JWT = {
    "VISITOR_AUTH": "jwt",
    "JWT_JWKS_URL": "https://login.example.com/keys",
    "JWT_ISSUER": "https://login.example.com",
    "JWT_AUDIENCE": "docs",
}
Check = Callable[..., tuple[int, str, str]]


@pytest.fixture
def check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Check:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    def check(*options: str, **variables: str | None) -> tuple[int, str, str]:
        for name in list(os.environ):
            monkeypatch.delenv(name)
        for name, value in {**GOOD, **variables}.items():
            if value is not None:
                monkeypatch.setenv(name, value.replace("FOLDER", str(tmp_path)))
        for name in ("connect", "connect_ex", "bind", "sendto"):
            monkeypatch.setattr(socket.socket, name, refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        status = main(["check-config", *options])
        captured = capsys.readouterr()
        assert CANARY not in captured.out + captured.err
        return status, captured.out, captured.err

    return check


WRONG: list[tuple[dict[str, str | None], list[str]]] = [
    ({"AVATAR_API_KEY": None}, ["AVATAR_API_KEY is not set"]),
    ({"AVATAR_API_KEY": "changeme"}, ["AVATAR_API_KEY is still a placeholder"]),
    ({"AVATAR_API_KEY": f'"{CANARY}"'}, ["AVATAR_API_KEY contains quotes"]),
    ({"AVATAR_API_KEY": "short"}, ["AVATAR_API_KEY is shorter than 8"]),
    ({"AVATAR_API_KEY": ""}, ["AVATAR_API_KEY is empty"]),
    ({"AVATAR_API_KEY_FILE": f"/{CANARY}"}, ["AVATAR_API_KEY and AVATAR_API_KEY_FILE are both"]),
    (
        {"AVATAR_API_KEY": None, "AVATAR_API_KEY_FILE": f"/{CANARY}"},
        ["AVATAR_API_KEY_FILE: the file it names cannot be read (No such file"],
    ),
    ({"ALLOWED_ORIGINS": None}, ["ALLOWED_ORIGINS is not set"]),
    ({"ALLOWED_ORIGINS": "*"}, ["ALLOWED_ORIGINS"]),
    ({"ALLOWED_ORIGINS": f"https://docs.example.com/{CANARY}"}, ["ALLOWED_ORIGINS"]),
    ({"TOKEN_POLICY": CANARY}, ["TOKEN_POLICY must be one of direct, pool, shared"]),
    ({"TOKEN_POOL_SIZE": "0"}, ["TOKEN_POOL_SIZE must be a whole number from 1 to 1000"]),
    ({"RATE_LIMIT": CANARY}, ["RATE_LIMIT must be limits such as"]),
    ({"REDIS_URL": f"redis://:{CANARY}#x@127.0.0.1"}, ["REDIS_URL has special characters"]),
    ({"REDIS_URL": f"http://{CANARY}"}, ["REDIS_URL must be the URL of Redis"]),
    ({"TRUSTED_PROXIES": CANARY}, ["TRUSTED_PROXIES"]),
    ({"TRUSTED_PROXIES": "0.0.0.0/0"}, ["TRUSTED_PROXIES"]),
    (
        {"VISITOR_AUTH": "jwt"},
        ["JWT_JWKS_URL is not set", "JWT_ISSUER is not set", "JWT_AUDIENCE is not set"],
    ),
    ({**JWT, "JWT_JWKS_URL": f"http://{CANARY}.example"}, ["JWT_JWKS_URL"]),
    ({**JWT, "TOKEN_POLICY": "shared"}, ["TOKEN_POLICY shared gives every visitor the same"]),
    ({"VISITOR_AUTH": "forwarded"}, ["TRUSTED_PROXIES is not set"]),
    ({"JWT_ISSUER": CANARY}, ["JWT_ISSUER is set, but VISITOR_AUTH is not jwt"]),
    ({"SEAL_KEYS": CANARY}, ["SEAL_KEYS must be keys made by sentifyd-edge keygen"]),
    ({"UPSTREAM_TIMEOUT": "61"}, ["UPSTREAM_TIMEOUT must be a number of seconds"]),
    ({"PORT": "99999"}, ["PORT must be a whole number"]),
    ({"METRICS_PORT": "8080"}, ["METRICS_PORT is the same as PORT"]),
    ({"HOST": f"{CANARY}!"}, ["HOST must be an address"]),
    ({"LOG_LEVEL": "loud"}, ["LOG_LEVEL must be one of"]),
    ({"SSL_CERT_FILE": f"/{CANARY}"}, ["SSL_CERT_FILE names a file that cannot be read"]),
    ({"SENTIFYD_BACKEND": f"http://{CANARY}.example"}, ["SENTIFYD_BACKEND"]),
    ({"AVATARS_FILE": "FOLDER/nowhere"}, ["AVATARS_FILE: the file it names cannot be read"]),
    ({"AVATARS_FILE": "FOLDER/avatars.toml"}, ["AVATARS_FILE: avatar 1: key_file: the file"]),
    (
        {"RATE_LIMIT": CANARY, "PORT": CANARY, "RATE_LIMITS": "1/day", "LOG_FORMAT": CANARY},
        [
            *("RATE_LIMIT must be", "PORT must be", "LOG_FORMAT must be"),
        ],
    ),
]


@pytest.mark.parametrize(("variables", "beginnings"), WRONG)
def test_each_mistake_has_one_line(
    check: Check, variables: dict[str, str | None], beginnings: list[str], tmp_path: Path
) -> None:
    (tmp_path / "avatars.toml").write_text(f'[[avatars]]\nid = "docs"\nkey_file = "{CANARY}"\n')

    status, out, err = check(**variables)

    assert (status, out) == (2, "")
    lines = err.splitlines()
    assert len(lines) == len(beginnings), lines
    for line, beginning in zip(lines, beginnings, strict=True):
        assert line.startswith(f"sentifyd-edge: {beginning}")

    status, out, err = check("--json", **variables)

    report = json.loads(out)
    assert (status, err, report["ok"]) == (2, "", False)
    assert [f"sentifyd-edge: {verdict['what']}" for verdict in report["verdicts"]] == lines
    for verdict in report["verdicts"]:
        assert (verdict["ok"], verdict["code"], verdict["where"]) == (
            *(False, "settings-wrong", "settings"),
        )


def test_valid_settings_and_what_may_not_be_meant_so(check: Check, tmp_path: Path) -> None:
    assert check() == (0, "the settings are valid\n", "")
    path = tmp_path / "edge.env"
    path.write_text(f"AVATAR_API_KEY={CANARY}\nALLOWED_ORIGINS=https://a.example\nRATE_LIMITT=1\n")
    path.chmod(0o644)

    status, out, err = check("--env-file", str(path), AVATAR_API_KEY=None)

    assert (status, out) == (0, "the settings are valid\n")
    assert err.splitlines() == [
        "sentifyd-edge: RATE_LIMITT is not a variable of this service: did you mean RATE_LIMIT?",
        f"sentifyd-edge: --env-file: every user can read the secrets in {path}: run chmod 600 on "
        "it",
        "sentifyd-edge: ALLOWED_ORIGINS in the file has no effect, because the process has this "
        "variable too",
    ]
    report = json.loads(check("--json", "--env-file", str(path), AVATAR_API_KEY=None)[1])
    assert report["ok"]
    assert [verdict["code"] for verdict in report["verdicts"]] == ["ok", "note", "note", "note"]


def test_wrong_line_of_the_file(check: Check, tmp_path: Path) -> None:
    path = tmp_path / "edge.env"
    path.write_text(f'PORT=1\nAVATAR_ID="{CANARY}"\n')
    status, out, err = check("--env-file", str(path))
    assert (status, out) == (2, "")
    assert err.startswith(f"sentifyd-edge: --env-file: line 2 of {path} has a quote")
    assert len(err.splitlines()) == 1


def test_doctor_reads_the_file_too(tmp_path: Path) -> None:
    path = tmp_path / "edge.env"
    path.write_text(f"AVATAR_API_KEY={CANARY}\nALLOWED_ORIGINS=https://a.example\nPORT=x\n")
    with Command("sentifyd-edge", "doctor", "--env-file", str(path)) as command:
        assert command.wait() == 2
    assert command.output.startswith("sentifyd-edge: PORT must be a whole number")


AS_USER = """
import contextlib, io, os, sys
from edge_service.cli import main
with contextlib.redirect_stderr(io.StringIO()):
    main(["check-config"])  # imports everything, while its files are readable
os.setgroups([])
os.setgid(65532)
os.setuid(65532)
sys.exit(main(["check-config"]))
"""


def test_file_of_root_is_explained_to_an_unprivileged_process(tmp_path: Path) -> None:
    if os.getuid() != 0:
        missing.skip("only root can start a process as another user")
    for name in ("key", "avatars.toml"):
        (tmp_path / name).write_text(CANARY)
        (tmp_path / name).chmod(0o600)
    environ = {
        "AVATAR_API_KEY_FILE": str(tmp_path / "key"),
        "AVATARS_FILE": str(tmp_path / "avatars.toml"),
        "ALLOWED_ORIGINS": "https://docs.example.com",
    }
    # The folders of pytest belong to root alone, too.
    done = subprocess.run(
        [sys.executable, "-c", AS_USER], env=environ, capture_output=True, text=True, timeout=60
    )
    reason = (
        "the file it names cannot be read by user 65532 (Permission denied): let that user read "
        "it, as the page Secrets in files of the documentation shows for systemd, Compose and "
        "Kubernetes"
    )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"sentifyd-edge: {name}: {reason}" for name in ("AVATAR_API_KEY_FILE", "AVATARS_FILE")
    ]
