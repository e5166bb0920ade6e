"""The files of `deploy/container` match each other and the service."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from edge_service.sealing import new_key
from edge_service.settings import Settings, SettingsError
from edge_service.settings.variables import Variables, declared
from scripts.pins import IMAGE, SERVERLESS, wanted
from tests.deploy.conftest import Serve
from tests.support.container import FOLDER, compose, example_variables, stages
from tests.support.pins import closure, pins, read_pins
from tests.support.ports import free_port
from tests.support.processes import SCRIPTS, Command
from tests.support.servers import RawUpstream

SERVICES = compose()["services"]
# How long requests in progress may take when `sentifyd-edge serve` stops.
MOST_SECONDS = 8 + 2 * Variables.UPSTREAM_TIMEOUT.default


def run(*words: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, **variables}
    return subprocess.run(words, env=environ, capture_output=True, text=True, check=False)


def known() -> set[str]:
    """Every variable that the service reads."""
    files = {variable.file_name for variable in declared()}
    return {variable.name for variable in declared()} | {name for name in files if name}


def seconds(text: str) -> float:
    assert text.endswith("s")
    return float(text[:-1])


def test_dockerfile_passes_its_linter() -> None:
    done = run(SCRIPTS / "hadolint", "--failure-threshold", "style", FOLDER / "Dockerfile")
    assert (done.returncode, done.stdout) == (0, "")


def test_compose_files_match_their_schema() -> None:
    schema = ("--builtin-schema", "vendor.compose-spec")
    files = sorted(FOLDER.glob("compose*.yaml"))
    assert len(files) == 2
    done = run(SCRIPTS / "check-jsonschema", *schema, *files)
    assert done.returncode == 0, done.stdout


def test_image_contains_no_package_installer() -> None:
    build, image = stages()
    assert "--without-pip" in build.all("RUN")[0]
    removal = image.the("RUN")
    assert "pip uninstall --yes" in removal
    assert "ensurepip" in removal
    copies = [text for text in image.all("COPY") if "--from=" in text]
    assert copies == ["--from=build /opt/venv /opt/venv"]
    assert image.the("FROM") == build.the("FROM").removesuffix(" AS build")


def test_image_runs_project_command_as_unprivileged_user(root: Path) -> None:
    image = stages()[-1]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert image.words("ENTRYPOINT")[0] in project["scripts"]
    done = run(SCRIPTS / image.words("ENTRYPOINT")[0], *image.words("CMD"), "--help")
    assert done.returncode == 0, done.stderr
    user, _, group = image.the("USER").partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert image.the("STOPSIGNAL") == "SIGTERM"
    assert image.the("EXPOSE") == image.environment["PORT"]
    assert image.environment.keys() - known() == {"PATH", "PYTHONDONTWRITEBYTECODE"}


def test_build_context_contains_only_copied_files(root: Path) -> None:
    rules = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    first, *rest = [rule for rule in rules if rule and not rule.startswith("#")]
    copied = [name for stage in stages() for name in stage.copied]
    assert first == "*"
    assert {rule[1:] for rule in rest if rule.startswith("!")} == set(copied)
    assert [name for name in copied if not (root / name).exists()] == []


def test_image_installs_only_pinned_packages_with_hashes() -> None:
    packages, project = stages()[0].all("RUN")
    assert "--require-hashes" in packages
    assert "--no-deps ." in project


def constraints(root: Path) -> dict[str, set[str]]:
    """The versions in constraints.txt; a package may have one for older Pythons."""
    found: dict[str, set[str]] = {}
    for line in (root / "constraints.txt").read_text().splitlines():
        if not line.startswith("#"):
            name, version = line.partition(";")[0].strip().split("==")
            found.setdefault(canonicalize_name(name), set()).add(version)
    return found


@pytest.mark.parametrize("extras", [IMAGE[:1], IMAGE[:2], IMAGE], ids=",".join)
def test_lists_are_what_the_extras_need(root: Path, extras: tuple[str, ...]) -> None:
    """Nothing is missing or left over, and every version is the tested one."""
    lists = [pins(extra) for extra in extras]
    listed = {name: pin for one in lists for name, pin in one.items()}
    assert len(listed) == sum(map(len, lists)), "a package is in two lists"
    fix = "run make pins"
    needed = closure(wanted(*extras))
    assert {name for name, pin in listed.items() if pin.applies} == needed, fix
    tested = constraints(root)
    assert {n: p.version for n, p in listed.items() if p.version not in tested[n]} == {}, fix
    for requirement in map(Requirement, wanted(*extras)):
        pin = listed[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin.version), fix
        # The wheel, and the source that it was built from.
        assert pin.hashes >= 2 or not pin.applies
    assert not listed.keys() & {"mkdocs", "jinja2", "markdown"}


@pytest.mark.parametrize("folder", SERVERLESS)
def test_serverless_lists_are_those_of_the_image(root: Path, folder: str) -> None:
    found = read_pins(root / "deploy" / folder / "requirements.txt")
    more = closure([*SERVERLESS[folder]])
    image = {**pins("service"), **pins("redis")}
    assert {
        name: pin.version for name, pin in found.items() if name not in more - image.keys()
    } == {name: pin.version for name, pin in image.items()}
    assert more <= found.keys()


def test_no_list_names_an_index(root: Path) -> None:
    for file in root.glob("deploy/**/requirements*/*.txt"):
        assert "://" not in file.read_text()
        assert "index" not in file.read_text()


def health(port: str) -> tuple[int, str]:
    """The image's health check, on this machine."""
    program, *words = stages()[-1].words("HEALTHCHECK")
    assert program == "python"
    here = str(FOLDER / "healthcheck.py")
    done = run(sys.executable, *[here if w.startswith("/opt/") else w for w in words], PORT=port)
    return done.returncode, done.stderr.strip()


def test_health_check_reports_whether_service_is_ready(serve: Serve) -> None:
    running = serve(ALLOWED_ORIGINS="https://docs.example.com")
    assert health(str(running.port)) == (0, "")
    running.command.stop()
    assert health(str(running.port)) == (1, "no answer: ConnectionRefusedError")

    # This upstream accepts logins and never responds, so the pool is never filled.
    with RawUpstream(lambda _: None) as upstream:
        running = serve(
            ALLOWED_ORIGINS="https://docs.example.com",
            TOKEN_POLICY="pool",
            SENTIFYD_BACKEND=upstream.url,
        )
        assert health(str(running.port)) == (1, "not ready: 503")


def test_health_check_start_period_covers_pool_filling() -> None:
    options = dict(
        word[2:].split("=") for word in stages()[-1].the("HEALTHCHECK").split() if "=" in word
    )
    assert seconds(options["start-period"]) > 30


def test_compose_and_example_set_only_known_variables() -> None:
    service = compose(with_optional=True)["services"]["edge"]["environment"]
    named = service.keys() | example_variables(with_optional=True).keys()
    assert len(named) > 8
    # Compose itself reads the last one.
    assert named - known() == {"COMPOSE_FILE"}


def test_completed_example_gives_valid_settings(tmp_path: Path) -> None:
    contents = {
        "AVATAR_API_KEY_FILE": "canary-key-container",
        "REDIS_URL_FILE": "redis://redis:6379/0",
        "SEAL_KEYS_FILE": new_key(),
    }
    variables = {
        **example_variables(),
        **compose(with_optional=True)["services"]["edge"]["environment"],
    }
    for name, content in contents.items():
        assert variables[name].startswith("/run/secrets/")
        file = tmp_path / name
        file.write_text(f"{content}\n")
        variables[name] = str(file)
    with pytest.raises(SettingsError, match=r"^ALLOWED_ORIGINS is empty: [^\n]*$"):
        Settings.from_env(variables)
    settings = Settings.from_env({**variables, "ALLOWED_ORIGINS": "https://docs.example.com"})

    proxy = SERVICES["proxy"]["networks"]["visitors"]["ipv4_address"]
    assert settings.trusted_proxies == (ipaddress.IPv4Network(proxy),)
    [network] = compose()["networks"]["visitors"]["ipam"]["config"]
    subnet, others = map(ipaddress.IPv4Network, (network["subnet"], network["ip_range"]))
    assert ipaddress.ip_address(proxy) in subnet
    assert ipaddress.ip_address(proxy) not in others
    assert others.subnet_of(subnet)
    assert settings.redis_url is not None
    assert settings.seal_keys
    assert "redis" in SERVICES


def secrets_of(service: dict[str, Any]) -> set[str]:
    """The variables of a service that a secret's value can be in."""
    secret = {name for v in declared() if v.secret for name in (v.name, v.file_name) if name}
    return secret.intersection(service["environment"])


def test_secrets_are_files_ignored_by_git() -> None:
    content = compose(with_optional=True)
    secrets, services = content["secrets"], content["services"]
    assert {name for service in services.values() for name in service.get("secrets", [])} == set(
        secrets
    )
    assert [s["file"] for s in secrets.values() if not s["file"].startswith("secrets/")] == []
    ignored = (FOLDER / ".gitignore").read_text().split()
    assert {".env", "secrets/"} <= set(ignored)
    mounts = {f"/run/secrets/{name}" for name in secrets}
    written = (FOLDER / "nginx.conf").read_text() + json.dumps(services["edge"]["environment"])
    assert [mount for mount in mounts if mount not in written] == []
    assert secrets_of(services["edge"]) == {
        variable.file_name for variable in declared() if variable.secret
    }


def test_page_creates_every_secret_readable_for_the_service(root: Path, tmp_path: Path) -> None:
    """The commands of the page, without those that need Docker or an editor."""
    page = (root / "example_docs/docs/deploy/container.md").read_text()
    commands = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)[0]
    example = FOLDER / ".env.example"
    kept = [
        re.sub(r"/path/to/(\w+\.pem)", rf"{tmp_path}/\1", line).replace("nano", "touch")
        for line in commands.splitlines()
        if not line.startswith(("docker", "cd"))
    ]
    for name in ("fullchain.pem", "privkey.pem"):
        (tmp_path / name).touch(0o600)
    (tmp_path / example.name).write_text(example.read_text())
    done = subprocess.run(
        ["sh", "-ec", "umask 022\n" + "\n".join(kept)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files = {secret["file"] for secret in compose()["secrets"].values()}
    assert {f"secrets/{file.name}" for file in (tmp_path / "secrets").iterdir()} == files
    assert mode(tmp_path / "secrets") == 0o700
    assert {mode(tmp_path / file) for file in files} == {0o444}
    assert mode(tmp_path / ".env") == 0o600
    service = urlsplit((tmp_path / "secrets/redis_url").read_text().strip())
    assert service.hostname in SERVICES


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_proxy_timeout_exceeds_longest_request() -> None:
    [timeout] = re.findall(r"proxy_read_timeout (\S+);", (FOLDER / "nginx.conf").read_text())
    assert seconds(timeout) > MOST_SECONDS


@pytest.mark.parametrize("name", SERVICES)
def test_containers_have_minimal_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"mem_limit", "pids_limit"} <= service.keys()
    user = service.get("user") or stages()[-1].the("USER")
    assert not user.startswith(("0", "root"))
    assert not service.keys() & {"privileged", "cap_add", "network_mode", "pid", "devices"}
    assert ("ports" in service) == (name == "proxy")
    assert name != "redis" or service["networks"] == ["counters"]


def test_only_the_service_reaches_redis() -> None:
    assert compose()["networks"]["counters"]["internal"] is True
    assert [name for name in SERVICES if "counters" in SERVICES[name]["networks"]] == [
        "edge",
        "redis",
    ]


def test_redis_evicts_counters_and_saves_nothing_to_disk() -> None:
    port = free_port()
    here = ("--port", str(port), "--bind", "127.0.0.1")
    with Command("/usr/bin/env", "redis-server", str(FOLDER / "redis.conf"), *here) as command:
        command.wait_for("Ready to accept connections")
        with redis.Redis(port=port, decode_responses=True) as client:
            settings = client.config_get("save", "appendonly", "maxmemory", "maxmemory-policy")
            client.config_set("maxmemory", "3mb")
            client.set("grant", "kept", ex=3600)
            for number in range(20_000):
                client.set(f"counter-{number}", "1" * 100, ex=60)
            evicted = client.info("stats")["evicted_keys"]
            assert client.get("grant") == "kept"
    assert settings == {
        "save": "",
        "appendonly": "no",
        "maxmemory": str(64 * 1024 * 1024),
        "maxmemory-policy": "volatile-ttl",
    }
    assert evicted > 1000
