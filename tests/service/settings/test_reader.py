"""The environment: what is accepted, and what is reported otherwise."""

from __future__ import annotations

from pathlib import Path

import certifi
import pytest

from edge_service.settings import Settings, SettingsError
from edge_service.settings.variables import declared

GOOD = {"AVATAR_API_KEY": "canary-key-7f3a91", "ALLOWED_ORIGINS": "https://docs.example.com"}

JWT: dict[str, str | None] = {
    "VISITOR_AUTH": "jwt",
    "JWT_JWKS_URL": "https://login.example.com/keys",
    "JWT_ISSUER": "https://login.example.com",
    "JWT_AUDIENCE": "docs",
}


def problems(**variables: str | None) -> tuple[str, ...]:
    environ = {**GOOD, **variables}
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({name: value for name, value in environ.items() if value is not None})
    for problem in caught.value.problems:
        assert "\n" not in problem
        for value in variables.values():
            # No value is ever quoted back: it may be a secret in the wrong variable.
            assert not value or len(value) < 8 or value not in problem
    return caught.value.problems


def test_defaults() -> None:
    settings = Settings.from_env(GOOD)

    avatar = settings.avatars[""]
    assert list(settings.avatars) == [""]
    assert avatar.login_url == "https://backend.sentifyd.io/api/login"
    assert avatar.allowed_origins == {"https://docs.example.com"}
    assert avatar.policy == "direct"
    assert avatar.avatar_id is None
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert (settings.upstream_timeout, settings.upstream_concurrency) == (5, 32)
    assert (settings.rate_limit, settings.trusted_proxies) == ("30/minute", ())
    assert (settings.redis_url, settings.seal_keys, settings.visitor_auth) == (None, (), None)
    assert settings.metrics_port is None
    assert not settings.require_origin


def test_every_variable_can_be_set() -> None:
    settings = Settings.from_env(
        {
            **GOOD,
            "AVATAR_ID": "123",
            "ALLOWED_ORIGINS": "https://a.example, http://localhost:8000 ,http://[::1]:8000,",
            "SENTIFYD_BACKEND": "https://serve.sentifyd.io/",
            "SENTIFYD_LOGIN_PATH": "/api/v1/chatbot/login",
            "REQUIRE_ORIGIN": "TRUE",
            "UPSTREAM_TIMEOUT": "2.5",
            "UPSTREAM_CONCURRENCY": "4",
            "HOST": "0.0.0.0",
            "PORT": "9000",
            "LOG_LEVEL": "DEBUG",
            "LOG_FORMAT": "console",
            "VISITOR_AUTH": "none",
        }
    )

    avatar = settings.avatars[""]
    assert avatar.login_url == "https://serve.sentifyd.io/api/v1/chatbot/login"
    assert avatar.allowed_origins == {
        "https://a.example",
        "http://localhost:8000",
        "http://[::1]:8000",
    }
    assert avatar.avatar_id == "123"
    assert settings.require_origin
    assert settings.upstream_timeout == 2.5
    assert settings.log_level == "debug"


def test_key_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"from-a-file-123\r\n")

    settings = Settings.from_env(
        {"AVATAR_API_KEY_FILE": str(file), "ALLOWED_ORIGINS": "https://a.example"}
    )

    assert settings.avatars[""].api_key == "from-a-file-123"


def test_repr_does_not_contain_the_key() -> None:
    settings = Settings.from_env(GOOD)

    assert "canary" not in repr(settings)
    assert "canary" not in str(settings)


def test_login_budget_is_that_of_the_avatar_or_else_of_the_variable(tmp_path: Path) -> None:
    file = tmp_path / "avatars.toml"
    table = '[[avatars]]\nid = "{0}"\nkey = "canary-key-of-{0}"\n'
    file.write_text(
        table.format("docs") + table.format("shop") + 'login_budget = "2000/hour;9/minute"\n'
    )
    environ = {"AVATARS_FILE": str(file), "ALLOWED_ORIGINS": "https://docs.example.com"}
    for variables, common in (({}, None), ({"LOGIN_BUDGET": "20000/day"}, "20000/day")):
        avatars = Settings.from_env({**environ, **variables}).avatars
        assert avatars["docs"].login_budget == common
        assert avatars["shop"].login_budget == "2000/hour;9/minute"

    file.write_text(table.format("docs") + 'login_budget = "canary-budget"\n')
    with pytest.raises(SettingsError) as caught:
        Settings.from_env(environ)
    (problem,) = caught.value.problems
    assert problem.startswith("AVATARS_FILE: avatar 1: login_budget must be a budget such as")
    assert "canary" not in problem


def test_all_mistakes_are_reported_together() -> None:
    reported = problems(AVATAR_API_KEY=None, ALLOWED_ORIGINS=None, PORT="http", RATE_LIMIT="1/s")

    assert [problem.split()[0] for problem in reported] == [
        "AVATAR_API_KEY",
        "ALLOWED_ORIGINS",
        "RATE_LIMIT",
        "PORT",
    ]


def test_every_declared_variable_is_read() -> None:
    class Recorder(dict[str, str]):
        def get(self, name: str, default: object = None) -> object:  # type: ignore[override]
            asked.add(name)
            return super().get(name, default)

    asked: set[str] = set()
    Settings.from_env(Recorder(GOOD))

    names = {name for v in declared() for name in (v.name, v.file_name) if name is not None}
    assert asked == names


@pytest.mark.parametrize(
    "networks",
    ["10.0.0.0/8,fd00::/8", "0.0.0.0/1", "::1", "64:ff9b::203.0.113.0/120", "::ffff:10.0.0.0/104"],
)
def test_networks_of_proxies_are_accepted(networks: str) -> None:
    settings = Settings.from_env({**GOOD, "TRUSTED_PROXIES": networks})

    assert len(settings.trusted_proxies) == networks.count(",") + 1


def test_every_kind_of_mistake_is_reported_together(tmp_path: Path) -> None:
    """Missing, malformed or contradicting values, and mistakes in a file."""
    file = tmp_path / "avatars.toml"
    file.write_text('speed = 1\n[[avatars]]\nid = "a"\nkey = "changeme"\npolicy = "shared"\n')
    reported = problems(
        **{
            **JWT,
            "JWT_ISSUER": None,
            "AVATAR_API_KEY": None,
            "ALLOWED_ORIGINS": None,
            "AVATARS_FILE": str(file),
            "SEAL_KEYS_FILE": "/run/kanarie",
            "FORWARDED_USER_HEADER": "X-User-Name",
            "TRUSTED_PROXIES": "0.0.0.0/0",
            "METRICS_PORT": "8080",
        }
    )

    assert [problem.split(": ")[0] for problem in reported] == [
        "AVATARS_FILE",
        "AVATARS_FILE",
        "ALLOWED_ORIGINS is not set",
        "TRUSTED_PROXIES trusts the whole internet, so anyone could forge an address",
        "FORWARDED_USER_HEADER is set, but VISITOR_AUTH is not forwarded",
        "JWT_ISSUER is not set",
        "SEAL_KEYS_FILE",
        "TOKEN_POLICY shared gives every visitor the same tokens, but VISITOR_AUTH distinguishes "
        "visitors",
        "METRICS_PORT is the same as PORT",
    ]


def test_contradiction_is_reported_although_the_key_is_missing() -> None:
    reported = problems(**{**JWT, "AVATAR_API_KEY": None, "TOKEN_POLICY": "shared"})

    assert [problem.split()[0] for problem in reported] == ["AVATAR_API_KEY", "TOKEN_POLICY"]


def test_malformed_value_is_not_also_reported_as_missing() -> None:
    assert len(problems(VISITOR_AUTH="forwarded", TRUSTED_PROXIES="kanarie")) == 1
    assert len(problems(PORT="many", METRICS_PORT="8080")) == 1


def test_invalid_value_and_contradiction_are_reported_together(tmp_path: Path) -> None:
    file = tmp_path / "avatars.toml"
    file.write_text('[[avatars]]\nid = "a"\nkey = "canary-key-of-a"\npolicy = "shared"\n')
    reported = problems(**JWT, AVATARS_FILE=str(file), AVATAR_API_KEY=None, TOKEN_POLICY="sharded")

    assert [problem.split(" ", 2)[:2] for problem in reported] == [
        ["TOKEN_POLICY", "must"],
        ["TOKEN_POLICY", "shared"],
    ]


def test_key_as_avatar_id_is_rejected() -> None:
    [reported] = problems(AVATAR_ID=GOOD["AVATAR_API_KEY"])

    assert reported == (
        "AVATAR_ID is the same as the API key, and an ID is public: set it to the avatar's ID, and "
        "replace the key if it was published"
    )


@pytest.mark.parametrize(
    ("variables", "fields", "reported"),
    [
        ({}, {"avatar_id": "canary-key-of-a"}, ["AVATARS_FILE: avatar 2: avatar_id is the same"]),
        ({}, {"id": "canary-key-of-b"}, ["AVATARS_FILE: avatar 2: id is the same as an API key"]),
        ({}, {"id": GOOD["AVATAR_API_KEY"]}, ["AVATARS_FILE: avatar 2: id is the same"]),
        ({"AVATAR_ID": "canary-key-of-a"}, {}, ["AVATAR_ID is the same as the API key"]),
    ],
)
def test_key_as_id_in_the_file_is_rejected(
    tmp_path: Path, variables: dict[str, str], fields: dict[str, str], reported: list[str]
) -> None:
    entries = [
        {"id": "a", "key": "canary-key-of-a"},
        {"id": "b", "key": "canary-key-of-b", **fields},
    ]
    lines = [
        "\n".join(["[[avatars]]", *(f'{name} = "{value}"' for name, value in entry.items()), ""])
        for entry in entries
    ]
    file = tmp_path / "avatars.toml"
    file.write_text("".join(lines))

    found = problems(AVATARS_FILE=str(file), **variables)

    assert [line.startswith(start) for line, start in zip(found, reported, strict=True)] == [True]
    assert not any("canary" in line for line in found)


def test_empty_variable_and_its_file_are_both_set(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("canary-key-of-a-file")

    assert problems(AVATAR_API_KEY="", AVATAR_API_KEY_FILE=str(file)) == (
        "AVATAR_API_KEY and AVATAR_API_KEY_FILE are both set: keep one of them",
    )


@pytest.mark.parametrize(
    "variables",
    [
        {"REDIS_URL": "redis://localhost"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"},
    ],
)
def test_missing_extra_is_reported_with_other_problems(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    def find_spec(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr("importlib.util.find_spec", find_spec)

    reported = problems(**variables, PORT="many")

    assert [problem.split()[0] for problem in reported] == ["PORT", next(iter(variables))]
    assert "pip install 'mkdocs-sentifyd[" in reported[1]


def test_invalid_argument_is_reported_by_its_option_name() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**GOOD, "PORT": "http"}, {"PORT": "--port"})

    assert caught.value.problems == ("--port must be a whole number from 0 to 65535",)


@pytest.mark.parametrize(
    ("variables", "names", "fix"),
    [
        ({"AVATAR_API_KEY": ""}, "AVATAR_API_KEY", "give it a value"),
        ({"AVATAR_API_KEY": "   "}, "AVATAR_API_KEY", "give it a value"),
        ({"AVATAR_API_KEY": "your-avatar-api-key-here"}, "AVATAR_API_KEY", "placeholder"),
        ({"AVATAR_API_KEY": "changeme"}, "AVATAR_API_KEY", "placeholder"),
        ({"AVATAR_API_KEY": "${AVATAR_API_KEY}"}, "AVATAR_API_KEY", "placeholder"),
        ({"AVATAR_API_KEY": "<the key goes in here>"}, "AVATAR_API_KEY", "placeholder"),
        ({"AVATAR_API_KEY": '"quoted key"'}, "AVATAR_API_KEY", "copy the key again"),
        ({"AVATAR_API_KEY": "two\nlines-of-key"}, "AVATAR_API_KEY", "copy the key again"),
        ({"AVATAR_API_KEY": "k3y"}, "AVATAR_API_KEY", "copy the whole key"),
        ({"AVATAR_API_KEY_FILE": "/nowhere"}, "AVATAR_API_KEY", "keep one"),
        (
            {"AVATAR_API_KEY": None, "AVATAR_API_KEY_FILE": "secret-in-the-wrong-place"},
            "AVATAR_API_KEY_FILE",
            "cannot be read",
        ),
        ({"ALLOWED_ORIGINS": ","}, "ALLOWED_ORIGINS", "such as https://docs.example.com"),
        ({"ALLOWED_ORIGINS": "*"}, "ALLOWED_ORIGINS", "ALLOW_ANY_ORIGIN=true"),
        ({"ALLOWED_ORIGINS": "null"}, "ALLOWED_ORIGINS", "null"),
        ({"ALLOWED_ORIGINS": "https://*.netlify.app"}, "ALLOWED_ORIGINS", "other customers"),
        ({"ALLOWED_ORIGINS": "https://docs.example.com/"}, "ALLOWED_ORIGINS", "slash"),
        ({"ALLOWED_ORIGINS": "https://docs.example.com/x"}, "ALLOWED_ORIGINS", "path"),
        ({"ALLOWED_ORIGINS": "https://user@docs.example.com"}, "ALLOWED_ORIGINS", "credentials"),
        ({"ALLOWED_ORIGINS": "https://Docs.example.com"}, "ALLOWED_ORIGINS", "capitals"),
        ({"ALLOWED_ORIGINS": "https://döcs.example.com"}, "ALLOWED_ORIGINS", "xn--"),
        ({"ALLOWED_ORIGINS": "https://docs.example.com:443"}, "ALLOWED_ORIGINS", "default port"),
        ({"ALLOWED_ORIGINS": "https://docs.example.com:"}, "ALLOWED_ORIGINS", "not an origin"),
        ({"ALLOWED_ORIGINS": "https://docs.example.com:99999"}, "ALLOWED_ORIGINS", "port"),
        ({"ALLOWED_ORIGINS": "kanarie.example"}, "ALLOWED_ORIGINS", "not an origin"),
        ({"ALLOW_ANY_ORIGIN": "yes please"}, "ALLOW_ANY_ORIGIN", "true or false"),
        ({"SENTIFYD_BACKEND": "kanarie.example"}, "SENTIFYD_BACKEND", "absolute URL"),
        ({"SENTIFYD_BACKEND": "http://backend.sentifyd.io"}, "SENTIFYD_BACKEND", "https"),
        ({"SENTIFYD_BACKEND": "https://u:p@b.example"}, "SENTIFYD_BACKEND", "no credentials"),
        ({"SENTIFYD_BACKEND": "https://b.example?key=1"}, "SENTIFYD_BACKEND", "query"),
        ({"SENTIFYD_BACKEND": "https://[::1"}, "SENTIFYD_BACKEND", "malformed"),
        ({"SENTIFYD_BACKEND": "https://kanarie.example?"}, "SENTIFYD_BACKEND", "query"),
        ({"SENTIFYD_BACKEND": "https://kanarie.example/#"}, "SENTIFYD_BACKEND", "fragment"),
        ({"SENTIFYD_BACKEND": "https://*.kanarie.example"}, "SENTIFYD_BACKEND", "name a host"),
        ({"SENTIFYD_BACKEND": "https://.kanarie.example"}, "SENTIFYD_BACKEND", "name a host"),
        ({"SENTIFYD_BACKEND": "https://[::1]kanarie"}, "SENTIFYD_BACKEND", ""),
        ({"SENTIFYD_BACKEND": "http://sandbox.localhost"}, "SENTIFYD_BACKEND", "https"),
        ({"SENTIFYD_BACKEND": "http://10.0.0.1"}, "SENTIFYD_BACKEND", "https"),
        ({"ALLOWED_ORIGINS": "https://kanarie.example?"}, "ALLOWED_ORIGINS", "path"),
        ({"ALLOWED_ORIGINS": "https://[::1]kanarie"}, "ALLOWED_ORIGINS", ""),
        ({"ALLOWED_ORIGINS": "https://kana\trie.example"}, "ALLOWED_ORIGINS", "not an origin"),
        ({"ALLOWED_ORIGINS": "https://kanarie.example:08"}, "ALLOWED_ORIGINS", "not an origin"),
        ({"AVATAR_API_KEY": '"canary-key-7f3a91"'}, "AVATAR_API_KEY", "without quotes"),
        ({"AVATAR_API_KEY": "REPLACE_ME_PLEASE"}, "AVATAR_API_KEY", "placeholder"),
        ({"AVATAR_API_KEY": "${AVATAR_API_KEY:-}"}, "AVATAR_API_KEY", "placeholder"),
        ({"JWT_JWKS_URL": "https://kanarie.example/keys"}, "JWT_JWKS_URL", "VISITOR_AUTH=jwt"),
        ({"SENTIFYD_LOGIN_PATH": "api/kanarie"}, "SENTIFYD_LOGIN_PATH", "/api/login"),
        ({"SENTIFYD_LOGIN_PATH": "//evil.example"}, "SENTIFYD_LOGIN_PATH", "/api/login"),
        ({"AVATAR_ID": "two words"}, "AVATAR_ID", "without spaces"),
        ({"TOKEN_POLICY": "sharded"}, "TOKEN_POLICY", "direct, pool, shared"),
        ({"UPSTREAM_TIMEOUT": "0"}, "UPSTREAM_TIMEOUT", "from 0.1 to 60"),
        ({"UPSTREAM_TIMEOUT": "inf"}, "UPSTREAM_TIMEOUT", "from 0.1 to 60"),
        ({"UPSTREAM_CONCURRENCY": "0"}, "UPSTREAM_CONCURRENCY", "from 1 to 1024"),
        ({"PORT": "70000"}, "PORT", "from 0 to 65535"),
        ({"HOST": "http://0.0.0.0"}, "HOST", "0.0.0.0"),
        ({"LOG_LEVEL": "loud"}, "LOG_LEVEL", "warning"),
        ({"LOG_FORMAT": "xml"}, "LOG_FORMAT", "json"),
        ({"VISITOR_AUTH": "basic"}, "VISITOR_AUTH", "none, jwt, forwarded"),
        ({"VISITOR_AUTH": "forwarded"}, "TRUSTED_PROXIES", "the networks of the proxies"),
        ({"JWT_AUDIENCE": "docs-site"}, "JWT_AUDIENCE", "VISITOR_AUTH=jwt or unset"),
        ({"FORWARDED_USER_HEADER": "X-User-Name"}, "FORWARDED_USER_HEADER", "or unset"),
        ({**JWT, "JWT_ISSUER": None}, "JWT_ISSUER", "VISITOR_AUTH=jwt needs it"),
        ({**JWT, "JWT_JWKS_URL": "http://kanarie.example"}, "JWT_JWKS_URL", "https"),
        ({**JWT, "JWT_COOKIE": "two words"}, "JWT_COOKIE", "name of a cookie"),
        ({**JWT, "TOKEN_POLICY": "shared"}, "TOKEN_POLICY", "direct or pool"),
        (
            {**JWT, "JWT_COOKIE": "sid", "ALLOWED_ORIGINS": "*", "ALLOW_ANY_ORIGIN": "true"},
            "ALLOW_ANY_ORIGIN",
            "list your own origins",
        ),
        ({"REDIS_URL": "https://kanarie.example"}, "REDIS_URL", "redis://host:6379/0"),
        ({"REDIS_URL": "redis://kanarie.example/zero"}, "REDIS_URL", "number"),
        ({"REDIS_URL_FILE": "/run/kanarie"}, "REDIS_URL_FILE", "cannot be read"),
        ({"TRUSTED_PROXIES": "10.0.0.1/8"}, "TRUSTED_PROXIES", "10.0.0.0/8"),
        ({"TRUSTED_PROXIES": "kanarie.example"}, "TRUSTED_PROXIES", "10.0.0.0/8"),
        *(
            ({"TRUSTED_PROXIES": networks}, "TRUSTED_PROXIES", "whole internet")
            for networks in (
                "0.0.0.0/0",
                "10.0.0.0/8, ::/0",
                "0.0.0.0/1,128.0.0.0/1",
                "128.0.0.0/1,10.0.0.0/8,0.0.0.0/2,64.0.0.0/2",
                "0.0.0.0/1,128.0.0.0/2,192.0.0.0/3",
                "::ffff:0:0/96",
                "::ffff:0:0/97,128.0.0.0/1",
                "::/1,8000::/1",
                "2000::/3",
                "2000::/4,3000::/4",
                "64:ff9b::/96",
                "64:ff9b::/64",
            )
        ),
        ({"RATE_LIMIT": "30/fortnight"}, "RATE_LIMIT", "30/minute"),
        ({"RATE_LIMIT": "0/hour"}, "RATE_LIMIT", "30/minute"),
        *(
            ({"LOGIN_BUDGET": value}, "LOGIN_BUDGET", "20000/day")
            for value in ("kanarie", "20000", "0/day", "1000000/day", "5/week", "1/day;1/hour;")
        ),
        ({"LOGIN_BUDGET": "5/day;9/day"}, "LOGIN_BUDGET", "windows differ"),
        ({"TOKEN_POOL_SIZE": "0"}, "TOKEN_POOL_SIZE", "from 1 to 1000"),
        ({"METRICS_PORT": "8080"}, "METRICS_PORT", "choose another"),
        ({"METRICS_PORT": "0"}, "METRICS_PORT", "from 1 to 65535"),
        ({"SEAL_KEYS_FILE": "/run/kanarie"}, "SEAL_KEYS_FILE", "cannot be read"),
        ({"AVATARS_FILE": "/run/kanarie"}, "AVATARS_FILE", "cannot be read"),
        ({"SSL_CERT_FILE": "/run/kanarie"}, "SSL_CERT_FILE", "cannot be read"),
        ({"SSL_CERT_FILE": "kana\0rie.pem"}, "SSL_CERT_FILE", "cannot be read"),
        ({"SSL_CERT_FILE": "/"}, "SSL_CERT_FILE", "cannot be read"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "foo"}, "OTEL_EXPORTER_OTLP_ENDPOINT", "collector"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "kanarie.example:4318"}, "OTEL_EXPORTER", "collector"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "grpc://kanarie.example"}, "OTEL_EXPORTER", "collector"),
        ({"AVATAR_API_KEY": "7_chars"}, "AVATAR_API_KEY", "copy the whole key"),
        ({"SENTIFYD_BACKEND": "http://127.example.com"}, "SENTIFYD_BACKEND", "https"),
        ({"SENTIFYD_BACKEND": "http://evil-localhost"}, "SENTIFYD_BACKEND", "https"),
        ({"ALLOWED_ORIGINS": "https://a_b-.example"}, "ALLOWED_ORIGINS", "never send"),
        ({"SEAL_KEYS": "abcdefgh"}, "SEAL_KEYS", "sentifyd-edge keygen"),
        ({"SEAL_KEYS": "A" * 42 + "B="}, "SEAL_KEYS", "sentifyd-edge keygen"),
    ],
)
def test_mistake_is_reported_in_one_line_with_variable_and_fix(
    variables: dict[str, str | None], names: str, fix: str
) -> None:
    reported = problems(**variables)

    assert len(reported) == 1
    assert reported[0].startswith(names)
    assert fix in reported[0]


def test_plain_http_is_allowed_only_for_this_machine() -> None:
    for host in ("localhost", "127.0.0.1:8090", "[::1]:8090"):
        settings = Settings.from_env({**GOOD, "SENTIFYD_BACKEND": f"http://{host}"})
        assert settings.avatars[""].login_url == f"http://{host}/api/login"


@pytest.mark.parametrize("endpoint", ["", " "])
def test_empty_otlp_endpoint_disables_tracing(endpoint: str) -> None:
    """The OpenTelemetry specification requires it."""
    assert not Settings.from_env({**GOOD, "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}).tracing


def test_collector_and_certificate_file_are_accepted(tmp_path: Path) -> None:
    file = Path(certifi.where())
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "SSL_CERT_FILE": str(file)}
    settings = Settings.from_env({**GOOD, **variables})

    assert settings.tracing
    assert settings.ca_file == file
    (tmp_path / "empty.pem").touch()
    assert "no certificates" in problems(SSL_CERT_FILE=str(tmp_path / "empty.pem"))[0]
