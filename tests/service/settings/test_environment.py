"""Names that resemble the service's variables are reported, those of other programs are not."""

from __future__ import annotations

import pytest

from edge_service.settings.environment import advice, near_misses
from edge_service.settings.variables import declared
from tests.support.processes import Command

# Variables that containers, clusters, clouds, runners, shells and other programs set.
ORDINARY = """
PATH HOME PWD OLDPWD SHELL USER LOGNAME LANG LC_ALL TERM TZ HOSTNAME HOSTTYPE SHLVL EDITOR TMPDIR
VIRTUAL_ENV PYTHONPATH PYTHONUNBUFFERED PYTHON_VERSION SSH_AUTH_SOCK XDG_RUNTIME_DIR
KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_PORT KUBERNETES_PORT_443_TCP_ADDR
POD_NAME POD_IP NODE_NAME SENTIFYD_EDGE_SERVICE_HOST SENTIFYD_EDGE_PORT SENTIFYD_PORT
SENTIFYD_EDGE_PORT_8080_TCP REDIS_SERVICE_HOST REDIS_PORT REDIS_PORT_6379_TCP REDIS_HOST
REDIS_PASSWORD REDIS_DB FOO_PORT FOO_SERVICE_PORT APP_PORT PORTS HOSTS HOST_IP POOL_SIZE
PORT_8080 PORT_8080_TCP EDGE_PORT SITE_PORT SANDBOX_PORT SANDBOX_API_KEY
AWS_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_LAMBDA_LOG_FORMAT AWS_LAMBDA_LOG_LEVEL
GITHUB_TOKEN GITHUB_ACTIONS GITHUB_API_URL GITHUB_REPOSITORY RUNNER_OS CI HTTPS_PROXY http_proxy
NO_PROXY SSL_CERT_DIR REQUESTS_CA_BUNDLE OTEL_EXPORTER_OTLP_HEADERS OTEL_SERVICE_NAME
OTEL_EXPORTER_OTLP_METRICS_ENDPOINT OPENAI_API_KEY DATABASE_URL DB_LOG_LEVEL RUST_LOG NODE_ENV
SECRET_KEY JWT_SECRET KEY_FILE CERT_FILE TOKEN ACCESS_TOKEN LOG_FILE WEB_CONCURRENCY UVICORN_PORT
METRICS_PATH METRICS_HOST RATE_LIMIT_MAX LOG_FORMAT_JSON
SENTIFYD_TOKEN_ENDPOINT SENTIFYD_LOADER_URL FORWARDED_ALLOW_IPS K_SERVICE FLY_REGION NOTIFY_SOCKET
"""


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ALLOWED_ORIGIN", "ALLOWED_ORIGINS"),
        ("ALOWED_ORIGINS", "ALLOWED_ORIGINS"),
        ("allowed_origins", "ALLOWED_ORIGINS"),
        ("SENTIFYD_ALLOWED_ORIGINS", "ALLOWED_ORIGINS"),
        ("AVATAR_KEY", "AVATAR_API_KEY"),
        ("AVATAR_APIKEY", "AVATAR_API_KEY"),
        ("API_KEY", "AVATAR_API_KEY"),
        ("SENTIFYD_API_KEY", "AVATAR_API_KEY"),
        ("SENTIFYD_API_KEY_FILE", "AVATAR_API_KEY_FILE"),
        ("AVATAR_FILE", "AVATARS_FILE"),
        ("TRUSTED_PROXY", "TRUSTED_PROXIES"),
        ("REDIS", "REDIS_URL"),
        ("SEAL_KEY", "SEAL_KEYS"),
        ("LOGLEVEL", "LOG_LEVEL"),
        ("RATE_LIMITING", "RATE_LIMIT"),
        ("TRUSTED_PROXY_IPS", "TRUSTED_PROXIES"),
        ("UPSTREAM_TIMOUT", "UPSTREAM_TIMEOUT"),
        ("sentifyd_backend", "SENTIFYD_BACKEND"),
        ("SENTIFYD_BACKND", "SENTIFYD_BACKEND"),
        ("EDGE_REDIS_URL", "REDIS_URL"),
    ],
)
def test_misspelt_variable_is_reported_with_a_suggestion(name: str, meant: str) -> None:
    assert near_misses({name: "canary-value"}) == {name: meant}
    [line] = advice({name: "canary-value"})
    assert line == f"{name} is not a variable of this service: did you mean {meant}?"


def test_variable_that_is_set_is_not_suggested() -> None:
    assert near_misses({"API_KEY": "x", "AVATAR_API_KEY": "x"}) == {}
    assert near_misses({"API_KEY": "x", "AVATAR_API_KEY_FILE": "x"}) == {}


def test_variable_that_another_excludes_is_not_suggested() -> None:
    assert near_misses({"API_KEY": "x", "AVATARS_FILE": "x"}) == {}
    for name in ("JWT_JWKS_URI", "JWKS_URL", "JWT_ISSUERS"):
        assert (
            near_misses({name: "x", "VISITOR_AUTH": "forwarded"}) == near_misses({name: "x"}) == {}
        )
    assert near_misses({"JWT_JWKS_URI": "x", "VISITOR_AUTH": " JWT "}) == {
        "JWT_JWKS_URI": "JWT_JWKS_URL"
    }
    for name in ("JWT_SECRET", "JWT_SECRET_KEY", "JWT_ALGORITHM", "JWT_EXPIRES_IN"):
        assert near_misses({name: "x", "VISITOR_AUTH": "jwt"}) == {}


@pytest.mark.parametrize("name", ["ALLOWED\x1b[31mORIGINS", "ALLOWED_ORIGIN\n", "ALLOWED_ORIGİNS"])
def test_name_with_unsafe_characters_is_not_reported(name: str) -> None:
    assert near_misses({name: "x"}) == {}


def test_ordinary_environment_is_not_reported() -> None:
    names = ORDINARY.split()
    assert len(names) > 80
    assert near_misses(dict.fromkeys(names, "x")) == {}


def test_variables_of_the_service_are_not_reported() -> None:
    for variable in declared():
        for name in filter(None, (variable.name, variable.file_name)):
            assert near_misses({name: "x"}) == {}


@pytest.mark.parametrize("server", [("sentifyd-edge", "serve", "--port", "0"), ("uvicorn",)])
def test_running_service_logs_a_misspelt_variable(server: tuple[str, ...]) -> None:
    arguments = ("edge_service.app:app", "--port", "0") if server == ("uvicorn",) else ()
    with Command(
        *server,
        *arguments,
        AVATAR_API_KEY="canary-key-7f3a91",
        ALLOWED_ORIGINS="https://docs.example.com",
        TRUSTED_PROXY="canary-network",
    ) as command:
        line = command.wait_for("unknown_variable").string
        assert '"variable": "TRUSTED_PROXY", "did_you_mean": "TRUSTED_PROXIES"' in line
        command.stop()
    assert "canary" not in command.output
