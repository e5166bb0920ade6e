"""Several avatars in one service, each with its own key, origins, policy and upstream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from edge_service.app import create_app
from edge_service.settings import Settings, SettingsError
from tests.support.avatars import (
    DOCS,
    SHOP,
    SHOP_ORIGIN,
    Upstream,
    allowed,
    avatar,
    owner,
    whose,
    write_avatars,
)
from tests.support.processes import Command
from tests.support.servers import serving
from tests.support.service import Service, StartService
from tests.support.settings import KEY, ORIGIN
from tests.support.waiting import TIMEOUT


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    upstream = Upstream()
    with serving(upstream.app()) as upstream.url:
        yield upstream


Serve = Callable[..., Service]


@pytest.fixture
def serve(upstream: Upstream, tmp_path: Path) -> Iterator[Serve]:
    """Start a service with a file of avatars, and with no avatar in its variables."""
    with ExitStack() as stack:

        def start(content: str, **variables: str) -> Service:
            environ = {
                "AVATARS_FILE": str(write_avatars(tmp_path, content)),
                "ALLOWED_ORIGINS": ORIGIN,
                "SENTIFYD_BACKEND": upstream.url,
                **variables,
            }
            settings = Settings.from_env({name: value for name, value in environ.items() if value})
            return Service(stack.enter_context(serving(create_app(settings))))

        yield start


def test_each_avatar_has_its_own_key_origins_and_upstream(serve: Serve, upstream: Upstream) -> None:
    other = Upstream()
    with serving(other.app()) as other.url:
        service = serve(
            avatar("docs", DOCS)
            + avatar(
                *("shop", SHOP),
                avatar_id="avtr_1",
                backend=other.url,
                login_path="/v9/enter",
                allowed_origins=[SHOP_ORIGIN],
            )
        )
        docs = service.get("/docs")
        shop = service.get("/shop", origin=SHOP_ORIGIN)
        crossed = [service.get("/docs", origin=SHOP_ORIGIN), service.get("/shop", origin=ORIGIN)]

    assert (owner(docs), owner(shop)) == (whose(DOCS), whose(SHOP))
    assert upstream.bodies == [{"avatar_api_key": DOCS}]
    assert other.bodies == [{"avatar_api_key": SHOP, "avatar_id": "avtr_1"}]
    assert (allowed(docs), allowed(shop)) == (ORIGIN, SHOP_ORIGIN)
    for response in crossed:
        assert response.status_code == 403
        assert response.json()["code"] == "origin_not_allowed"
        assert allowed(response) is None


def test_preflight_is_answered_for_the_requested_avatar(serve: Serve) -> None:
    # The second name could be mistaken for the route itself.
    names = ("docs", "request_tokens", "request_tokens-2")
    service = serve(
        avatar("docs", DOCS)
        + avatar(names[1], SHOP, allowed_origins=[SHOP_ORIGIN])
        + avatar(names[2], SHOP, allowed_origins=[SHOP_ORIGIN]),
        AVATAR_API_KEY=KEY,
    )
    ask = {"Access-Control-Request-Method": "GET"}

    def origins_of(path: str) -> list[str | None]:
        answers = [
            service.call("OPTIONS", path, origin=origin, headers=ask)
            for origin in (ORIGIN, SHOP_ORIGIN)
        ]
        assert [answer.status_code == 204 for answer in answers] == [
            allowed(answer) is not None for answer in answers
        ]
        return [allowed(answer) for answer in answers]

    assert origins_of("") == [ORIGIN, None]
    assert origins_of("/docs") == [ORIGIN, None]
    assert origins_of("/request_tokens") == [None, SHOP_ORIGIN]
    assert origins_of("/request_tokens-2") == [None, SHOP_ORIGIN]
    assert owner(service.get("/request_tokens", origin=SHOP_ORIGIN)) == whose(SHOP)


def test_each_avatar_has_its_own_policy(serve: Serve, upstream: Upstream) -> None:
    service = serve(
        avatar("docs", DOCS, policy="shared") + avatar("shop", SHOP, policy="direct"),
        TOKEN_POLICY="pool",
        TOKEN_POOL_SIZE="1",
    )

    assert len({service.get("/docs").text for _ in range(3)}) == 1
    assert len({service.get("/shop").text for _ in range(3)}) == 3
    assert sorted(upstream.keys) == [DOCS, *[SHOP] * 3]


def test_unknown_avatar_is_answered_like_an_unknown_route(serve: Serve, upstream: Upstream) -> None:
    service = serve(avatar("docs", DOCS) + avatar("shop", SHOP))
    nowhere = requests.get(f"{service.base}/nowhere", headers={"Origin": ORIGIN}, timeout=TIMEOUT)
    del nowhere.headers["Date"], nowhere.headers["X-Request-ID"]

    for name in ("nobody", "Docs", "doc", "docs/", "docs%20", "", "%00", "..%2f", "docs%2fshop"):
        unknown = service.get(f"/{name}")
        del unknown.headers["Date"], unknown.headers["X-Request-ID"]
        assert unknown.status_code == nowhere.status_code == 404
        assert unknown.text == nowhere.text
        assert unknown.headers == nowhere.headers
        assert service.call("DELETE", f"/{name}").status_code == 404
    assert upstream.bodies == []


def test_default_avatar_is_chosen_by_file_and_variables(serve: Serve, upstream: Upstream) -> None:
    both = avatar("docs", DOCS) + avatar("shop", SHOP)

    assert owner(serve(avatar("docs", DOCS)).get()) == whose(DOCS)
    assert serve(both).get().status_code == 404
    assert owner(serve('default = "shop"\n' + both).get()) == whose(SHOP)
    assert owner(serve(avatar("docs", DOCS), AVATAR_API_KEY=KEY).get()) == whose(KEY)
    with_own_key = serve(both, AVATAR_API_KEY=KEY, AVATAR_ID="mine")
    assert owner(with_own_key.get()) == whose(KEY)
    assert owner(with_own_key.get("/shop")) == whose(SHOP)
    assert [body.get("avatar_id") for body in upstream.bodies] == [None, None, None, "mine", None]


def test_variables_are_defaults_for_the_file(tmp_path: Path) -> None:
    path = write_avatars(tmp_path, avatar("docs", DOCS) + avatar("shop", SHOP, policy="direct"))
    settings = Settings.from_env(
        {
            "AVATARS_FILE": f" {path} ",
            "ALLOWED_ORIGINS": f"{ORIGIN},{SHOP_ORIGIN}",
            "SENTIFYD_BACKEND": "http://127.0.0.1:9",
            "SENTIFYD_LOGIN_PATH": "/v9/enter",
            "TOKEN_POLICY": "pool",
        }
    )

    assert sorted(settings.avatars) == ["docs", "shop"]
    for name, policy in (("docs", "pool"), ("shop", "direct")):
        assert settings.avatars[name].allowed_origins == {ORIGIN, SHOP_ORIGIN}
        assert settings.avatars[name].login_url == "http://127.0.0.1:9/v9/enter"
        assert settings.avatars[name].policy == policy
    assert "canary" not in repr(settings)


def test_origins_in_the_file_make_the_variable_unnecessary(serve: Serve) -> None:
    own = {"allowed_origins": [ORIGIN]}

    service = serve(avatar("docs", DOCS, **own), ALLOWED_ORIGINS="")
    assert service.get("/docs").status_code == 200
    with pytest.raises(SettingsError, match=r"\AALLOWED_ORIGINS is not set: [^\n]+\Z"):
        serve(avatar("docs", DOCS, **own) + avatar("shop", SHOP), ALLOWED_ORIGINS="")
    with pytest.raises(SettingsError, match=r"\AALLOWED_ORIGINS is not set: [^\n]+\Z"):
        serve(avatar("docs", DOCS, **own), ALLOWED_ORIGINS="", AVATAR_API_KEY=KEY)


def test_any_origin_can_be_allowed_for_one_avatar(serve: Serve) -> None:
    service = serve(
        avatar("docs", DOCS) + avatar("shop", SHOP, allowed_origins=["*"]), ALLOW_ANY_ORIGIN="true"
    )
    elsewhere = "https://elsewhere.example"

    assert allowed(service.get("/shop", origin=elsewhere)) == elsewhere
    assert service.get("/docs", origin=elsewhere).status_code == 403
    assert allowed(service.get("/docs", origin=elsewhere)) is None


def test_key_file_path_is_relative_to_the_avatars_file(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "docs").write_bytes(DOCS.encode() + b"\r\n")
    (tmp_path / "shop").write_text(SHOP + "\n")
    service = serve(
        avatar("docs", "", key_file="keys/docs")
        + avatar("shop", "", key_file=str(tmp_path / "shop"))
    )

    assert owner(service.get("/docs")) == whose(DOCS)
    assert owner(service.get("/shop")) == whose(SHOP)


CANARY = "canary-key-7f3a91"
FINE = avatar("docs", CANARY)


@pytest.mark.parametrize(
    ("content", "fix"),
    [
        # The file as a whole.
        (f'key = = "{CANARY}"', "the file is not TOML (at line 1, column 7)"),
        (f'[[avatars]]\nkey = "{CANARY}', "the file is not TOML"),
        ("canary = " + "[" * 5000, "the file is not TOML"),
        ("canary = " + "7" * 5000, "the file is not TOML"),
        ("\x00", "the file is not TOML"),
        ("", "write a table [[avatars]] with id and key_file"),
        (f'avatars = "{CANARY}"', "write a table [[avatars]]"),
        (f'avatars = ["{CANARY}"]', "write a table [[avatars]]"),
        (f'[avatars]\nid = "{CANARY}"', "write a table [[avatars]]"),
        ("avatars = []", "write a table [[avatars]]"),
        ("".join(avatar(f"a{n}", CANARY) for n in range(1001)), "more than 1000 avatars"),
        (f'policies = "{CANARY}"\n{FINE}', "policies is not a top-level field: use default or"),
        (f'{CANARY} = "pool"\n{FINE}', "a name is not a top-level field"),
        # The default.
        (f'default = "{CANARY}"\n{FINE}', "default must be the id of one of the avatars"),
        (f"default = 7\n{FINE}", "default must be the id"),
        (f'default = ["docs"]\n{FINE}', "default must be the id"),
        (f"[default]\n{FINE}", "default must be the id"),
        # IDs.
        (f'[[avatars]]\nkey = "{CANARY}"', "avatar 1: id is missing"),
        (FINE + avatar("docs", CANARY), "avatar 2: id is already used by another avatar: choose"),
        (FINE + avatar("", CANARY), "avatar 2: id is missing"),
        (FINE + f'[[avatars]]\nid = ""\nkey = "{CANARY}"', "avatar 2: id must be a string that is"),
        (FINE + f'[[avatars]]\nid = 7\nkey = "{CANARY}"', "avatar 2: id must be a string"),
        (avatar("canary/key", CANARY), "id must be at most 128 letters, digits and -._~"),
        (avatar(".canary", CANARY), "id must be at most 128 letters"),
        (avatar("canärie", CANARY), "id must be at most 128 letters"),
        (avatar("canary\n", CANARY), "id must be at most 128 letters"),
        (avatar("c" * 129, CANARY), "id must be at most 128 letters"),
        # Keys.
        (avatar("docs", ""), "avatar 1: key_file is missing: name a file that contains"),
        (avatar("docs", CANARY, key_file=CANARY), "key and key_file are both set: keep one"),
        (avatar("docs", "changeme"), "avatar 1: key is still a placeholder"),
        (avatar("docs", "canary"), "key is shorter than 8 characters: copy the whole key"),
        (avatar("docs", "   "), "key must be a string that is not empty"),
        (avatar("docs", f"{CANARY} \n"), "key contains quotes, white space"),
        (avatar("docs", 73917391), "key must be a string that is not empty"),
        (avatar("docs", [CANARY]), "key must be a string that is not empty"),
        (avatar("docs", "", key_file=CANARY), "key_file: the file it names cannot be read (No su"),
        (avatar("docs", "", key_file="."), "key_file: the file it names cannot be read (Is a dir"),
        (avatar("docs", "", key_file="a\0canary"), "key_file: the file it names cannot be read"),
        (avatar("docs", "", key_file="latin"), "key_file: the file it names cannot be read (it is"),
        (avatar("docs", "", key_file="empty"), "key_file must be a string that is not empty"),
        (avatar("docs", "", key_file="example"), "key_file is still a placeholder"),
        (avatar("docs", "", key_file=7), "key_file must be a string"),
        # The rest of the fields, with a key in the wrong place.
        (avatar("docs", CANARY, apikey=CANARY), "apikey is not a field: use one of id, key, key_"),
        (FINE + f'{CANARY} = "key"', "a name is not a field: use one of"),
        (avatar("docs", CANARY, avatar_id=f"{CANARY} x"), "avatar_id must be the avatar's ID"),
        (avatar("docs", CANARY, avatar_id=7), "avatar_id must be a string"),
        (avatar("docs", CANARY, backend=CANARY), "backend must be an absolute URL"),
        (avatar("docs", CANARY, backend="http://canary.example"), "backend must be https"),
        (avatar("docs", CANARY, backend=f"https://u:{CANARY}@b.example"), "no credentials"),
        (avatar("docs", CANARY, login_path=CANARY), "login_path must be a path such as"),
        (avatar("docs", CANARY, policy=CANARY), "policy must be one of direct, pool, shared"),
        (avatar("docs", CANARY, policy=True), "policy must be a string"),
        (avatar("docs", CANARY, allowed_origins=CANARY), "allowed_origins must be a list"),
        (avatar("docs", CANARY, allowed_origins=[7]), "allowed_origins must be a list"),
        (avatar("docs", CANARY, allowed_origins=[]), "allowed_origins lists no origin: add one"),
        (avatar("docs", CANARY, allowed_origins=[" "]), "allowed_origins lists no origin"),
        (avatar("docs", CANARY, allowed_origins=[CANARY]), "contains something that is not an"),
        (avatar("docs", CANARY, allowed_origins=["*"]), "contains *, which lets every site"),
        (avatar("docs", CANARY, allowed_origins=["null"]), "contains null"),
    ],
)  # fmt: skip
def test_each_mistake_is_reported_in_one_line_with_its_fix(
    tmp_path: Path, content: str, fix: str
) -> None:
    (tmp_path / "latin").write_bytes(b"canary-k\xe9y")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "example").write_text("your-avatar-api-key-here\n")

    (reported,) = problems(write_avatars(tmp_path, content))

    assert reported.startswith("AVATARS_FILE: ")
    assert fix in reported


def problems(path: Path, **variables: str) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({"AVATARS_FILE": str(path), "ALLOWED_ORIGINS": ORIGIN, **variables})
    assert caught.value.__cause__ is None
    for problem in caught.value.problems:
        assert "\n" not in problem
        assert "canary" not in problem
        assert "7777" not in problem
        assert "73917391" not in problem
    return caught.value.problems


def test_unreadable_file_is_reported(tmp_path: Path) -> None:
    latin = tmp_path / "latin"
    latin.write_bytes(b"# canari\xe9")

    for path, reason in [
        (tmp_path / "canary", "No such file or directory"),
        (tmp_path, "Is a directory"),
        (latin, "it is not UTF-8 text"),
    ]:
        assert problems(path) == (f"AVATARS_FILE: the file it names cannot be read ({reason})",)


def test_settings_rules_apply_to_the_file(tmp_path: Path) -> None:
    proxies = {"TRUSTED_PROXIES": "10.0.0.0/8", "VISITOR_AUTH": "forwarded"}
    shared = write_avatars(tmp_path, FINE + avatar("shop", SHOP, policy="shared"))
    (reported,) = problems(shared, **proxies)
    assert reported.startswith("TOKEN_POLICY shared gives every visitor the same tokens")

    any_origin = write_avatars(tmp_path, FINE + avatar("shop", SHOP, allowed_origins=["*"]))
    (reported,) = problems(any_origin, ALLOW_ANY_ORIGIN="true", **proxies)
    assert reported.startswith("ALLOW_ANY_ORIGIN would let every site request")

    pattern = ["https://*.preview.example.com"]
    previews = write_avatars(tmp_path, FINE + avatar("preview", SHOP, allowed_origins=pattern))
    (reported,) = problems(previews, **proxies)
    assert reported.startswith("ALLOWED_ORIGINS contains a pattern, which would let every preview")

    anyone = write_avatars(tmp_path, avatar("docs", DOCS, allowed_origins=["https://*.pages.dev"]))
    (reported,) = problems(anyone)
    assert reported.startswith("AVATARS_FILE: avatar 1: allowed_origins contains a pattern with *")


def test_all_mistakes_are_reported_together_and_stop_the_start(tmp_path: Path) -> None:
    path = write_avatars(
        tmp_path,
        f'default = "{CANARY}"\nsecret = "{CANARY}"\n'
        + avatar("docs", "", key_file=CANARY, policy=CANARY)
        + avatar("docs", CANARY, backend=CANARY)
        + avatar("shop", CANARY, allowed_origins=CANARY),
    )
    with Command(
        "sentifyd-edge", "serve", AVATARS_FILE=str(path), ALLOWED_ORIGINS=ORIGIN, PORT=CANARY
    ) as command:
        status = command.wait()

    assert status == 2
    assert "canary" not in command.output
    beginnings = [
        "AVATARS_FILE: secret is not a top-level field",
        "AVATARS_FILE: avatar 1: key_file: the file it names cannot be read",
        "AVATARS_FILE: avatar 1: policy must be one of",
        "AVATARS_FILE: avatar 2: backend must be",
        "AVATARS_FILE: avatar 2: id is already used",
        "AVATARS_FILE: avatar 3: allowed_origins must be a list",
        "AVATARS_FILE: default must be the id",
        "PORT must be a whole number",
    ]
    lines = command.output.splitlines()
    assert len(lines) == len(beginnings)
    for line, beginning in zip(lines, beginnings, strict=True):
        assert line.startswith(f"sentifyd-edge: {beginning}")


def test_default_avatar_has_no_named_route(start_service: StartService, upstream: Upstream) -> None:
    """Without a file there is only the default avatar, which has no name."""
    service = start_service(upstream.url)

    assert [service.get(f"/{name}").status_code for name in ("", "default", "(default)")] == [
        404
    ] * 3
    assert owner(service.get()) == whose(KEY)
