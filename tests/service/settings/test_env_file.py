"""The file of --env-file: only what systemd, Docker and Compose read alike is accepted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edge_service.settings import SettingsError
from edge_service.settings.env_file import Source, read_env_file

CANARY = "canary-value"


def test_names_values_comments_and_empty_lines(tmp_path: Path) -> None:
    path = tmp_path / "edge.env"
    path.write_bytes(
        b"# a comment\r\n  # another\n\nALLOWED_ORIGINS=https://a.example,https://b.example:1\n"
        b"REDIS_URL=redis://:p%23w@host:6379/0?a=b\nEMPTY=\n_x1=a b#c;d `e` \xc3\xa9\nLAST=1"
    )
    assert read_env_file(path) == {
        "ALLOWED_ORIGINS": "https://a.example,https://b.example:1",
        "REDIS_URL": "redis://:p%23w@host:6379/0?a=b",
        "EMPTY": "",
        "_x1": "a b#c;d `e` é",
        "LAST": "1",
    }


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"export KEY={CANARY}", "must be NAME=VALUE, without export"),
        (f"KEY ={CANARY}", "must be NAME=VALUE, without export"),
        (f" KEY={CANARY}", "must be NAME=VALUE, without export"),
        (f"1KEY={CANARY}", "must be NAME=VALUE, without export"),
        (f"KEY-{CANARY}=1", "must be NAME=VALUE, without export"),
        (CANARY, "must be NAME=VALUE, without export"),
        (f"={CANARY}", "must be NAME=VALUE, without export"),
        (f"; {CANARY}", "must be NAME=VALUE, without export"),
        (f"\ufeffKEY={CANARY}", "must be NAME=VALUE, without export"),
        (f"KEY= {CANARY}", "white space around the value"),
        (f"KEY={CANARY} ", "white space around the value"),
        (f"KEY={CANARY} # mine", "a comment after it"),
        (f"KEY='{CANARY}'", "has a quote"),
        (f'KEY="{CANARY}"', "has a quote"),
        (f"KEY=a\\{CANARY}", "a backslash"),
        (f"KEY={CANARY}$HOME", "a dollar sign"),
        (f"KEY=a\x07{CANARY}", "a control character"),
        (f"KEY=a\r{CANARY}", "a control character"),
        (f"GOOD={CANARY}", "again"),
    ],
)
def test_wrong_line_is_named_and_not_quoted(line: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "edge.env"
    path.write_text(f"# first\nGOOD=1\n{line}\nALSO GOOD\n", newline="")
    with pytest.raises(SettingsError) as caught:
        read_env_file(path)
    first, second = caught.value.problems
    assert first.startswith(f"--env-file: line 3 of {path} ")
    assert problem in first
    assert second.startswith(f"--env-file: line 4 of {path} ")
    assert not re.search(f"{CANARY}|\n", first + second)


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b"KEY=\xff", "not UTF-8 text")]
)
def test_unreadable_file(content: bytes | None, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "edge.env"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"^--env-file: {path} cannot be read") as caught:
        Source({}, path).read()
    assert reason in str(caught.value)


def test_variables_of_the_process_win_and_defaults_lose(tmp_path: Path) -> None:
    path = tmp_path / "edge.env"
    path.write_text("PORT=1\nRATE_LIMIT=2/day\nLOG_FORMAT=json\n")
    source = Source(
        {"PORT": "9", "X": "1"}, path, {"PORT": "--port"}, {"LOG_FORMAT": "console", "HOST": "::"}
    )
    environ, shadowed = source.read()
    assert environ == {
        "PORT": "9", "X": "1", "RATE_LIMIT": "2/day", "LOG_FORMAT": "json", "HOST": "::"
    }  # fmt: skip
    assert shadowed == ["--port"]


def test_only_a_readable_secret_is_exposed(tmp_path: Path) -> None:
    path = tmp_path / "edge.env"
    path.write_text(f"AVATAR_API_KEY={CANARY}\n")
    source = Source({"AVATAR_API_KEY": CANARY}, path)
    for mode, is_exposed in ((0o600, False), (0o640, False), (0o644, True)):
        path.chmod(mode)
        assert source.is_exposed() == is_exposed
    assert CANARY not in repr(source)
    path.write_text("AVATAR_API_KEY_FILE=/run/key\n")
    assert not source.is_exposed()
