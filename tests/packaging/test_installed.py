"""The published wheel in bare environments, run from a folder outside the source tree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.matrix.environments import Environment
from tests.matrix.sites import Site
from tests.packaging.bare import conflicts, interpreters, lowest
from tests.packaging.conftest import Distributions, Make, installing
from tests.support.processes import Command

KEY = "canary-packaged-key-83b2"
ORIGIN = "https://docs.example.com"
PYTHONS = interpreters()
OLDEST = min(PYTHONS, key=lambda version: tuple(map(int, version.split("."))))


@pytest.fixture(scope="module", params=PYTHONS)
def plain(request: pytest.FixtureRequest, make: Make, distributions: Distributions) -> Environment:
    """The wheel without any extra, on each Python."""
    return make(PYTHONS[request.param], str(distributions.wheel))


@pytest.fixture(scope="module", params=PYTHONS)
def service(
    request: pytest.FixtureRequest, make: Make, distributions: Distributions
) -> Environment:
    """The wheel with [service] alone, on each Python, without the plugin's own requirements."""
    environment = make(
        PYTHONS[request.param],
        f"{distributions.wheel}[service]",
        without=("mkdocs", "jinja2", "tinycss2"),
    )
    result = environment.run("python", "-c", "import mkdocs", folder=environment.folder)
    assert "ModuleNotFoundError" in result.stdout
    return environment


@pytest.fixture(scope="module")
def oldest(root: Path, make: Make, distributions: Distributions) -> Environment:
    """The wheel with the lowest supported versions, on the oldest Python of this machine."""
    extras = ("service", "redis", "check")
    with installing():
        pins = lowest(root / "pyproject.toml", PYTHONS[OLDEST], *extras)
    return make(PYTHONS[OLDEST], f"{distributions.wheel}[{','.join(extras)}]", *pins)


def assert_builds_a_site(environment: Environment, folder: Path) -> Site:
    site = Site(environment, folder)
    site.write({"docs/index.md": "# Home\n", "docs/quiet.md": "---\nsentifyd: false\n---\n"})
    # A colour, because only colours need the package that parses CSS.
    site.configure(theme={"name": "mkdocs"}, options={"appearance": {"primary_color": "#123456"}})
    site.build()
    assert site.page("index.html").element()["avatar_id"] == "avtr_1234abcd"
    assert site.pages_with_avatar(
        {name: site.page(name).element() for name in ("index.html", "404.html")}
    ) == {"index.html", "404.html"}
    return site


def assert_hands_out_a_token(environment: Environment, **variables: str) -> None:
    scripts = {"PYTHONPATH": "", "PATH": environment.variables()["PATH"]}
    edge = str(environment.scripts / "sentifyd-edge")
    with Command(edge, "sandbox", "--port", "0", SANDBOX_API_KEY=KEY, **scripts) as sandbox:
        backend = sandbox.wait_for(r"sandbox on (http://\S+);")[1]
        settings = {
            "AVATAR_API_KEY": KEY,
            "ALLOWED_ORIGINS": ORIGIN,
            "SENTIFYD_BACKEND": backend,
            **variables,
        }
        with Command(edge, "serve", "--port", "0", **settings, **scripts) as service:
            port = service.port()
            endpoint = f"http://127.0.0.1:{port}/request_tokens"
            answer = requests.get(endpoint, headers={"Origin": ORIGIN}, timeout=20)
            assert service.stop() == 0
        assert KEY not in service.output
        assert "Traceback" not in service.output
    assert answer.status_code == 200, answer.text
    assert answer.json()["tokens"]["accessToken"].count(".") == 2


def assert_check_passes(site: Site) -> None:
    result = site.environment.run("mkdocs-sentifyd", "check", "site", folder=site.folder)
    assert result.returncode == 0, result.stdout


def test_plugin_needs_no_extra(plain: Environment, tmp_path: Path) -> None:
    assert conflicts(plain) == ""
    assert_builds_a_site(plain, tmp_path)


def test_command_reports_its_missing_extra(plain: Environment, tmp_path: Path) -> None:
    served = plain.run("sentifyd-edge", "serve", folder=tmp_path)
    assert served.returncode == 2
    (line,) = served.stdout.splitlines()
    assert line.endswith("run pip install 'mkdocs-sentifyd[service]'")

    for extra, *arguments in (("check", "."), ("export", ".", "--output", "out")):
        lacking = plain.run("mkdocs-sentifyd", extra, *arguments, folder=tmp_path)
        assert lacking.returncode == 2
        (line,) = lacking.stdout.splitlines()
        assert line.endswith(f"pip install 'mkdocs-sentifyd[{extra}]'")


@pytest.mark.parametrize("command", ["sentifyd-edge", "mkdocs-sentifyd"])
def test_help_needs_no_extra(plain: Environment, tmp_path: Path, command: str) -> None:
    result = plain.run(command, "--help", folder=tmp_path)
    assert result.returncode == 0, result.stdout
    assert result.stdout.startswith(f"usage: {command}")


def test_service_runs_without_the_plugins_requirements(
    service: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert_hands_out_a_token(service)


@pytest.mark.thorough
def test_lowest_versions_work(
    oldest: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert conflicts(oldest) == ""
    assert_check_passes(assert_builds_a_site(oldest, tmp_path))
    # Nothing listens there, but the service still creates its Redis client.
    assert_hands_out_a_token(oldest, REDIS_URL="redis://127.0.0.1:1/0")


@pytest.mark.thorough
def test_type_checkers_see_both_packages(oldest: Environment, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "from edge_service.settings import Settings\n"
        "from mkdocs_sentifyd.api_keys import secret_keys\n"
        "reveal_type(Settings.from_env)\n"
        "reveal_type(secret_keys)\n"
    )
    result = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent"),
            *("--python-executable", str(oldest.scripts / "python"), "--config-file="),
            program.name,
        ],
        cwd=tmp_path,
        env=oldest.variables(),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stdout
    assert "Any" not in result.stdout
    assert result.stdout.count("edge_service.settings.model.Settings") == 1
