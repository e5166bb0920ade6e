"""What the Dockerfile installs, run as Compose runs it: behind a real nginx, with Redis."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.metadata import distributions
from pathlib import Path

import pytest
import redis
import requests
from packaging.utils import canonicalize_name

from tests.support import nginx
from tests.support.container import (
    FOLDER,
    Stage,
    compose,
    copies,
    example_variables,
    stages,
)
from tests.support.load import is_refused
from tests.support.nginx import visitor_from
from tests.support.pins import pins
from tests.support.ports import free_port
from tests.support.processes import SCRIPTS, Command
from tests.support.settings import KEY, ORIGIN
from tests.support.waiting import until

# The installation takes a minute of processor time.
pytestmark = pytest.mark.thorough

CANARY = "canary-refresh-55d0"
LIMIT = 3
AS_ROOT = os.getuid() == 0


@pytest.fixture(scope="module")
def machine() -> Iterator[Path]:
    """A folder that every user may read, in place of the container's root folder."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.fixture(scope="module")
def installed(root: Path, machine: Path) -> Path:
    """The virtual environment that the Dockerfile's own steps create."""
    build: Stage = stages()[0]
    source, target = machine / "src", machine / "venv"
    source.mkdir()
    extras = dict(text.split("=") for text in build.all("ARG"))
    environ = {**os.environ, **extras, "PATH": f"{SCRIPTS}:{os.environ['PATH']}"}
    for keyword, text in build.steps:
        if keyword == "COPY":
            for name, place in copies(text):
                copy = shutil.copytree if (root / name).is_dir() else shutil.copyfile
                copy(root / name, source / place)
        elif keyword == "RUN":
            command = re.sub(r"--mount=\S+", "", text).replace("/opt/venv", str(target))
            done = subprocess.run(
                ["sh", "-ec", command],
                cwd=source,
                env=environ,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    return target


def privilege_drop(*, python: bool = False) -> list[str]:
    """A command prefix that drops privileges, as far as this user can; root switches user."""
    user, _, group = stages()[-1].the("USER").partition(":")
    if not AS_ROOT:
        return ["setpriv", "--no-new-privs"]
    fewer = ["setpriv", "--no-new-privs", "--bounding-set=-all"]
    other = [*fewer, f"--reuid={user}", f"--regid={group}", "--clear-groups"]
    # Other users cannot run a Python that is installed in root's own folder.
    which = [*other, sys.executable, "-c", "import sys; print(sys.base_prefix)"]
    done = subprocess.run(which, capture_output=True, text=True, check=False)
    return other if not python or done.stdout.strip() == sys.base_prefix else fewer


def contained(
    *words: str, until: Callable[[Command], object], python: bool = False, **variables: str
) -> Command:
    """Run a command as a container does: with only these variables, in /, without privileges."""
    pairs = (f"{name}={value}" for name, value in variables.items())
    command = Command(
        *("/usr/bin/env", "-i", "-C", stages()[-1].the("WORKDIR"), *pairs),
        *(*privilege_drop(python=python), *words),
    )
    try:
        until(command)
    except BaseException as error:
        command.stop(signal.SIGKILL)
        raise AssertionError(command.output) from error
    return command


class Stack:
    """The three containers of compose.yaml, as processes on this machine."""

    def __init__(self, machine: Path, installed: Path, sandbox_url: str) -> None:
        self._machine = machine
        self._installed = installed
        self._image = stages()[-1]
        self.ports = {name: free_port() for name in ("edge", "metrics", "proxy", "redis")}
        service = compose()["services"]["edge"]
        self.variables = {
            **self._image.environment,
            **example_variables(),
            **service["environment"],
            "PATH": f"{installed / 'bin'}:/usr/bin:/bin",
            "ALLOWED_ORIGINS": ORIGIN,
            "RATE_LIMIT": f"{LIMIT}/day",
            "SENTIFYD_BACKEND": sandbox_url,
            "HOST": "127.0.0.1",
            "PORT": str(self.ports["edge"]),
            "METRICS_PORT": str(self.ports["metrics"]),
            "AVATAR_API_KEY_FILE": str(machine / "secrets" / "avatar_api_key"),
            "REDIS_URL_FILE": str(machine / "secrets" / "redis_url"),
            "TRUSTED_PROXIES": "127.0.0.1",
        }
        self.certificate = machine / "secrets" / "tls_certificate"

    def redis(self) -> Command:
        here = ("--port", str(self.ports["redis"]), "--bind", "127.0.0.1")
        return contained(
            *("redis-server", str(FOLDER / "redis.conf"), *here),
            until=lambda redis: redis.wait_for("Ready to accept connections"),
            PATH=os.environ["PATH"],
        )

    def edge(self, **changes: str) -> Command:
        words = (*self._image.words("ENTRYPOINT"), *self._image.words("CMD"))
        ready = f'"port": {self.ports["edge"]}'
        return contained(
            *words,
            until=lambda edge: edge.wait_for(ready),
            python=True,
            **{**self.variables, **changes},
        )

    def proxy(self) -> Command:
        text = (FOLDER / "nginx.conf").read_text()
        for old, new in {
            " /tmp/": f" {self._machine}/tmp/",
            "listen 8443": f"listen 127.0.0.1:{self.ports['proxy']}",
            "edge:8080": f"127.0.0.1:{self.ports['edge']}",
            "/run/secrets/": f"{self._machine}/secrets/",
            # Docker gives this stream to the image's user.
            "/dev/stdout": f"{self._machine}/tmp/access.log",
        }.items():
            assert old in text
            text = text.replace(old, new)
        file = self._machine / "nginx.conf"
        file.write_text(text)
        return contained(
            *(nginx.executable(), "-e", "stderr", "-c", str(file)),
            # nginx does not report that it is ready.
            until=lambda _: until(lambda: not is_refused(self.ports["proxy"])),
        )

    def ask(
        self, query: str = "", *, path: str = "/request_tokens", address: str, **headers: str
    ) -> requests.Response:
        """A visitor's request through the proxy."""
        with visitor_from(address, self.certificate) as visitor:
            return visitor.get(
                f"https://localhost:{self.ports['proxy']}{path}{query}",
                headers={"Origin": ORIGIN, **{n.replace("_", "-"): v for n, v in headers.items()}},
                timeout=20,
            )

    @property
    def access_log(self) -> str:
        return (self._machine / "tmp" / "access.log").read_text()


class Running(Stack):
    """All three, running."""

    service: Command
    front: Command


@pytest.fixture(scope="module")
def stack(
    machine: Path, installed: Path, sandbox_url: str, certificate: tuple[Path, Path]
) -> Iterator[Running]:
    secrets = machine / "secrets"
    secrets.mkdir()
    (secrets / "avatar_api_key").write_text(f"{KEY}\n")
    running = Running(machine, installed, sandbox_url)
    (secrets / "redis_url").write_text(f"redis://127.0.0.1:{running.ports['redis']}/0\n")
    for name, file in zip(("tls_certificate", "tls_key"), certificate, strict=True):
        shutil.copyfile(file, secrets / name)
    for file in secrets.iterdir():
        file.chmod(0o444)
    (machine / "tmp").mkdir()
    (machine / "tmp").chmod(0o777)
    with ExitStack() as stack:
        stack.enter_context(running.redis())
        running.service = running.edge()
        # Tests replace it.
        stack.callback(lambda: running.service.__exit__())
        running.front = stack.enter_context(running.proxy())
        yield running
        assert CANARY not in running.service.output + running.front.output + running.access_log
        assert KEY not in running.service.output + running.front.output + running.access_log


def has_security_headers(answer: requests.Response) -> bool:
    """Whether the response has both security headers, each once."""
    return (
        answer.headers["Strict-Transport-Security"] == "max-age=31536000"
        and answer.headers["X-Content-Type-Options"] == "nosniff"
    )


def test_installation_contains_no_package_installer(installed: Path) -> None:
    programs = {file.name for file in (installed / "bin").iterdir()}
    assert stages()[-1].words("ENTRYPOINT")[0] in programs
    assert [name for name in programs if name.startswith(("pip", "easy_install"))] == []
    assert list(installed.glob("lib/*/site-packages/pip*")) == []


def test_installation_contains_only_the_listed_packages(installed: Path) -> None:
    [packages] = installed.glob("lib/*/site-packages")
    found = {
        canonicalize_name(distribution.metadata["Name"])
        for distribution in distributions(path=[str(packages)])
    }
    extras = stages()[0].the("ARG").partition("=")[2].split(",")
    listed = {name for extra in extras for name, pin in pins(extra).items() if pin.applies}
    assert found == listed | {"mkdocs-sentifyd"}
    assert not found & {"mkdocs", "jinja2", "markdown", "tinycss2"}


def test_commands_in_the_container_need_no_mkdocs(installed: Path, tmp_path: Path) -> None:
    commands = {file.name for file in (installed / "bin").iterdir()}
    assert "sentifyd-edge" in commands
    assert "mkdocs-sentifyd" not in commands
    edge = str(installed / "bin" / "sentifyd-edge")
    with Command(edge, "preview") as preview:
        preview.wait_for("token_endpoint")
        assert preview.stop() == 0
    site = tmp_path / "mkdocs.yml"
    site.touch()
    with Command(edge, "demo", "--config-file", str(site)) as demo:
        assert demo.wait() == 2
    assert demo.output == "sentifyd-edge: cannot build the site: run pip install mkdocs\n"


def test_visitor_gets_tokens_through_the_proxy(stack: Running) -> None:
    answer = stack.ask(address="127.0.0.2")
    assert answer.status_code == 200, answer.text
    assert answer.json()["tokens"]["accessToken"]
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Cache-Control"] == "no-store"
    assert has_security_headers(answer)


def test_proxy_forwards_only_token_requests(stack: Running) -> None:
    for path in ("/", "/metrics", "/livez", "/readyz", "/openapi.json", "/request_tokensx"):
        answer = stack.ask(path=path, address="127.0.0.3")
        assert (path, answer.status_code) == (path, 404)
        assert "json" not in answer.headers["Content-Type"]
        assert has_security_headers(answer)
    # The service itself answers this request.
    answer = stack.ask(path="/request_tokens/nobody", address="127.0.0.3")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_rate_limit_counts_visitors_by_address(stack: Running) -> None:
    # On a busy machine the service may lose Redis once, and restart its counters.
    forged = [f"192.0.2.{number}" for number in range(2 * LIMIT + 1)]
    statuses = [stack.ask(address="127.0.0.4", X_Forwarded_For=f).status_code for f in forged]
    assert set(statuses) == {200, 429}
    assert stack.ask(address="127.0.0.5").status_code == 200
    # Clients that bypass the proxy cannot pretend to be one.
    with visitor_from("127.0.0.9") as visitor:
        statuses = [
            visitor.get(
                f"http://127.0.0.1:{stack.ports['edge']}/request_tokens",
                headers={"Origin": ORIGIN, "X-Forwarded-For": f},
                timeout=20,
            ).status_code
            for f in forged
        ]
    assert set(statuses) == {200, 429}


def test_rate_limit_counters_in_redis_expire(stack: Running) -> None:
    addresses = (f"127.0.2.{number}" for number in range(1, 200))
    with redis.Redis(port=stack.ports["redis"]) as client:

        def is_counted() -> bool:
            stack.ask(address=next(addresses))
            return next(client.scan_iter(), None) is not None

        until(is_counted)
        assert [key for key in client.scan_iter() if client.ttl(key) == -1] == []


def test_no_log_contains_a_refresh_token(stack: Running) -> None:
    assert stack.ask(f"?refreshToken={CANARY}", address="127.0.0.7").status_code == 200
    stack.service.stop(signal.SIGTERM)
    try:
        answer = stack.ask(f"?refreshToken={CANARY}", address="127.0.0.7")
        assert answer.status_code == 502
        assert has_security_headers(answer)
    finally:
        stack.service = stack.edge()
    assert stack.ask(f"?refreshToken={CANARY}", address="127.0.0.8").status_code == 200
    assert '"path":"/request_tokens","status":502' in stack.access_log
    assert "127.0.0." not in stack.access_log
    assert CANARY not in stack.access_log + stack.front.output + stack.service.output


def test_proxy_removes_forged_user_header(stack: Running) -> None:
    stack.service.stop(signal.SIGTERM)
    with stack.edge(VISITOR_AUTH="forwarded"):
        header = {"X-Forwarded-User": "somebody"}
        direct = requests.get(
            f"http://127.0.0.1:{stack.ports['edge']}/request_tokens", headers=header, timeout=20
        )
        through = stack.ask(address="127.0.0.10", X_Forwarded_User="somebody")
    stack.service = stack.edge()
    # The service would trust the header if it came from the proxy's address.
    assert (direct.status_code, through.status_code) == (200, 401)


if AS_ROOT:  # only root can give up its privileges

    def test_service_runs_without_privileges(stack: Running) -> None:
        status = Path(f"/proc/{stack.service.pid}/status").read_text()
        found = dict(re.findall(r"^(\w+):\s+(.*)$", status, re.MULTILINE))
        user = stages()[-1].the("USER").partition(":")[0]
        assert set(found["Uid"].split()) == {
            user if f"--reuid={user}" in privilege_drop(python=True) else "0"
        }
        assert {found[name].strip("0") for name in ("CapEff", "CapPrm", "CapBnd")} == {""}
        assert found["NoNewPrivs"] == "1"


def test_service_stops_on_the_images_stop_signal(stack: Running) -> None:
    number = signal.Signals[stages()[-1].the("STOPSIGNAL")]
    assert stack.service.stop(number) == 0
    assert "Traceback" not in stack.service.output
    stack.service = stack.edge()
