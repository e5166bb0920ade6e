"""`--print-completion` of both commands, in real shells."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.support.processes import SCRIPTS

# Asks as the Tab key does: with the words so far, of which the last is not complete.
IN_BASH = """
source "$1"; shift
words=$(complete -p "$1"); function=${words##*-F }; function=${function% *}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); "$function"
printf '%s\\n' "${COMPREPLY[@]}"
"""
CASES = [
    (("sentifyd-edge", "se"), {"serve"}),
    (("sentifyd-edge", "serve", "--h"), {"--host", "--help"}),
    (("sentifyd-edge", "demo", "--c"), {"--config-file"}),
    (("mkdocs-sentifyd", ""), {"inject", "check", "csp"}),
    (("mkdocs-sentifyd", "check", "--o"), {"--origin"}),
    (("mkdocs-sentifyd", "inject", "pag"), {"pages"}),
    (("mkdocs-sentifyd", "csp", "--format", "n"), {"nginx", "netlify"}),
]


Scripts = Callable[[str, str], Path]


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Scripts:
    """The script that a command prints for a shell, in a file."""

    @cache
    def written(command: str, shell: str) -> Path:
        done = subprocess.run(
            [SCRIPTS / command, "--print-completion", shell], capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
        file = tmp_path_factory.mktemp("completion") / f"{command}.{shell}"
        file.write_text(done.stdout)
        return file

    return written


def shell(folder: Path, *words: str | Path) -> list[str]:
    """What a shell prints in a folder with the folder `pages` and the file `page.txt`."""
    (folder / "here" / "pages").mkdir(parents=True)
    (folder / "here" / "page.txt").touch()
    done = subprocess.run(words, cwd=folder / "here", capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.parametrize(("words", "completions"), CASES)
def test_bash_completes_the_command(
    words: tuple[str, ...], completions: set[str], tmp_path: Path, script: Scripts
) -> None:
    file = script(words[0], "bash")
    found = shell(tmp_path, "bash", "--norc", "-c", IN_BASH, "bash", file, *words)
    assert completions <= set(found)
    assert [word for word in found if not word.startswith(words[-1])] == []
    assert "page.txt" not in found


# These shells are large, and not worth an installation.
if shutil.which("fish"):

    @pytest.mark.parametrize(("words", "completions"), CASES)
    def test_fish_completes_the_command(
        words: tuple[str, ...], completions: set[str], tmp_path: Path, script: Scripts
    ) -> None:
        file = script(words[0], "fish")
        ask = f"source {file}; complete -C '{' '.join(words)}'"
        found = shell(tmp_path, "fish", "--no-config", "-c", ask)
        assert completions <= {line.partition("\t")[0].rstrip("/") for line in found}
        if words == ("sentifyd-edge", "se"):
            assert found == ["serve\tserve the token endpoint"]


if shutil.which("zsh"):

    @pytest.mark.parametrize("command", ["sentifyd-edge", "mkdocs-sentifyd"])
    def test_zsh_can_read_the_script(command: str, tmp_path: Path, script: Scripts) -> None:
        file = script(command, "zsh")
        assert file.read_text().startswith(f"#compdef {command}\n")
        shell(tmp_path, "zsh", "--no-rcs", "-n", file)


@pytest.mark.parametrize("command", ["sentifyd-edge", "mkdocs-sentifyd"])
def test_missing_package_is_reported_in_one_line(command: str) -> None:
    module = {"sentifyd-edge": "edge_service", "mkdocs-sentifyd": "mkdocs_sentifyd"}[command]
    program = f"import sys; sys.modules['shtab'] = None; from {module}.cli import main; main()"
    arguments = ("-c", program, "--print-completion", "bash")
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    [line] = done.stderr.splitlines()
    assert re.fullmatch(rf"{command}: .*pip install 'mkdocs-sentifyd\[completion\]'", line)


def test_commands_do_not_load_the_package() -> None:
    program = (
        "import sys; import edge_service.cli, mkdocs_sentifyd.cli;"
        "edge_service.cli.parser(); mkdocs_sentifyd.cli.parser(); print('shtab' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n"
