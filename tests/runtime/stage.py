"""Sites that MkDocs builds once for each set of options, on one origin, and their visitors."""

from __future__ import annotations

import json
import os.path
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge_service.app import create_app
from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.settings import Settings
from tests.support.browsing import Visit
from tests.support.servers import serving
from tests.support.settings import KEY, avatar_settings
from tests.support.sites import build_site

Theme = Mapping[str, Any]

MATERIAL: Theme = {"name": "material", "font": False}
INSTANT: Theme = {**MATERIAL, "features": ["navigation.instant"]}
MKDOCS: Theme = {"name": "mkdocs", "highlightjs": False}
READTHEDOCS: Theme = {"name": "readthedocs", "highlightjs": False}

FRONT = "---\nsentifyd: {}\n---\n\n"
OWN = 'Before.\n\n<sentifyd-bot id="mine" toggler="false"></sentifyd-bot>\n\nAfter.\n'
# Title, front matter, text.
_PAGES = {
    "index.md": ("Home", "", "[To the part](#part)\n\n## Part\n\nText.\n"),
    "plain.md": ("Plain", "", "A word: xylophone.\n"),
    "deep/er/page.md": ("Deep", "", ""),
    "off.md": ("Off", "false", ""),
    "branded.md": ("Branded", "{ui_language: fr, brand: {name: Acme}}", ""),
    "german.md": ("German", "{ui_language: de}", ""),
    "other.md": ("Other", "{avatar_id: avtr_other}", ""),
    "own.md": ("Own", "", OWN),
    "realtime.md": ("Realtime", "{component: realtime, loader: {url: REALTIME}}", ""),
}

# Counts how often components are connected, counts reconnections, and records the runtime's events.
_WATCH = """
window.seen = { connects: 0, moves: 0, events: [], violations: [] };
const known = new WeakSet();
const define = CustomElementRegistry.prototype.define;
CustomElementRegistry.prototype.define = function (name, type, options) {
  const connected = type.prototype.connectedCallback;
  if (name.startsWith("sentifyd-")) {
    type.prototype.connectedCallback = function () {
      seen.connects += 1;
      if (known.has(this)) seen.moves += 1;
      known.add(this);
      connected.call(this);
    };
  }
  define.call(this, name, type, options);
};
for (const name of ["loaded", "shown", "hidden", "error", "consent-wanted"]) {
  document.addEventListener(`sentifyd:${name}`, ({ detail }) => {
    seen.events.push([name, detail?.reason ?? detail?.element?.localName ?? null]);
  });
}
document.addEventListener("securitypolicyviolation", (event) => {
  seen.violations.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}`);
});
"""


def pages(realtime: str) -> dict[str, str]:
    """Sources of a site in which every page links to all others."""
    # A consent manager, in place of the tests that dispatch its event.
    files = {"manager.js": "// Dispatches sentifyd:consent.\n"}
    for name, (title, front, text) in _PAGES.items():
        links = " ".join(
            f"[To {other}]({os.path.relpath(target, Path(name).parent)})"
            for target, (other, _, _) in _PAGES.items()
        )
        header = FRONT.replace("{}", front.replace("REALTIME", realtime)) if front else ""
        files[name] = f"{header}# {title}\n\n{links}\n\n{text}"
    return files


class Stage:
    """Sandbox, token service, and the origin of all sites.

    Attributes:
        headers: by site, what its server sends beside the pages.
        failure: how the endpoint at `broken` answers: a status; 200 comes without CORS.
        has_loader: whether the loader at `late_loader` can be fetched.
        outputs: output of each build, by the site's URL.
    """

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        self.folder = folder
        self.headers: dict[str, dict[str, str]] = {}
        self.failure = 500
        self.has_loader = True
        self.outputs: dict[str, str] = {}
        self._built: dict[str, str] = {}
        (folder / "served").mkdir()
        icon = Route("/favicon.ico", lambda _: Response(status_code=204))
        files = Mount("/", StaticFiles(directory=folder / "served", html=True))
        site = _Headers(Starlette(routes=[icon, files]), self)
        self.origin = stack.enter_context(serving(site))
        self.sandbox = stack.enter_context(serving(create_sandbox(Sandbox(KEY, 3600))))
        avatar = avatar_settings(self.sandbox, allowed_origins=frozenset({self.origin}))
        service = create_app(Settings(avatars={"": avatar}, rate_limit="100000/minute"))
        self.endpoint = f"{stack.enter_context(serving(service))}/request_tokens"
        failing = Starlette(
            routes=[Route("/request_tokens", self._fail), Route("/main.js", self._load)]
        )
        other = stack.enter_context(serving(failing))
        self.broken, self.late_loader = f"{other}/request_tokens", f"{other}/main.js"
        self.loader = f"{self.sandbox}/sentifyd-bot/main.js"
        self.realtime_loader = f"{self.sandbox}/sentifyd-realtime/v1/main.js"
        self.loaders = (self.loader, self.realtime_loader, self.late_loader)

    def build(
        self,
        options: Mapping[str, Any] | None = None,
        *,
        theme: Theme = INSTANT,
        plugins: Sequence[object] = (),
        files: Mapping[str, str] | None = None,
        with_avatar: bool = True,
        **config: object,
    ) -> str:
        """Build a site with these settings, and return its URL."""
        asked = json.dumps([options, theme, plugins, files, with_avatar, config], sort_keys=True)
        if asked not in self._built:
            name = f"site{len(self._built)}"
            self._built[asked] = f"{self.origin}/{name}/"
            ours = {
                "sentifyd": {
                    "avatar_id": "avtr_1",
                    "token_endpoint": self.endpoint,
                    "loader": {"url": self.loader},
                    **(options or {}),
                }
            }
            settings = {
                "site_name": "Test",
                "site_url": self._built[asked],
                "site_dir": str(self.folder / "served" / name),
                "theme": dict(theme),
                "plugins": ["search", *([ours] if with_avatar else []), *plugins],
                **config,
            }
            output = self._make(self.folder / name, settings, files)
            self.outputs[self._built[asked]] = output
        return self._built[asked]

    def _make(
        self, folder: Path, settings: Mapping[str, object], files: Mapping[str, str] | None
    ) -> str:
        built = build_site(folder, settings, {**pages(self.realtime_loader), **(files or {})})
        assert built.status == 0, built.output
        return built.output

    async def _fail(self, _: object) -> Response:
        headers = {} if self.failure == 200 else {"Access-Control-Allow-Origin": self.origin}
        return JSONResponse({"error": "broken"}, self.failure, headers)

    async def _load(self, _: object) -> Response:
        if not self.has_loader:
            return Response(status_code=503)
        return Response(status_code=307, headers={"Location": self.loader})


class _Headers:
    """Add the headers of a site to its responses."""

    def __init__(self, app: ASGIApp, stage: Stage) -> None:
        self.app = app
        self.stage = stage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        site = scope["path"].split("/")[1] if scope["type"] == "http" else ""
        more = [
            (name.lower().encode(), value.encode())
            for name, value in self.stage.headers.get(site, {}).items()
        ]

        async def with_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *more]
            await send(message)

        await self.app(scope, receive, with_more)


class Visitor(Visit):
    """A visitor who follows links and can inspect the avatar."""

    def __init__(self, page: Page, loaders: Sequence[str]) -> None:
        super().__init__(page)
        self._loaders = loaders
        page.set_default_timeout(8_000)
        page.add_init_script(_WATCH)

    def open(self, url: str) -> None:
        self.page.goto(url)
        self.page.wait_for_load_state("load")

    def follow(self, title: str) -> None:
        """Click the link to a page of the site, and wait for the page."""
        self.page.get_by_role("link", name=f"To {title}", exact=True).click()
        self.wait_for_page(title)

    def wait_for_page(self, title: str) -> None:
        self.page.locator("h1", has_text=title).first.wait_for()

    def start(self, url: str) -> None:
        """Open a page with an avatar that loads without an action."""
        self.open(url)
        self.wait_until_connected()

    def element(self, name: str = "sentifyd-bot") -> Locator:
        return self.page.locator(name)

    def attributes(self) -> dict[str, str]:
        """Return the attributes of the only avatar, except those that the component sets."""
        found: dict[str, str] = self.page.evaluate(
            """() => {
              const all = document.querySelectorAll("sentifyd-bot, sentifyd-realtime");
              if (all.length !== 1) throw new Error(`${all.length} avatars`);
              return Object.fromEntries([...all[0].attributes].map((a) => [a.name, a.value]));
            }"""
        )
        return {name: value for name, value in found.items() if not name.startswith("data-")}

    def connects(self) -> int:
        count: int = self.page.evaluate("seen.connects")
        return count

    def moves(self) -> int:
        """Return how often an element was moved or reinserted."""
        count: int = self.page.evaluate("seen.moves")
        return count

    def events(self) -> list[str]:
        """The names of the runtime's events since the last call."""
        names: list[str] = self.page.evaluate("seen.events.splice(0).map(([name]) => name)")
        return names

    def wait_for_event(self, name: str) -> None:
        self.page.wait_for_function("name => seen.events.some((e) => e[0] === name)", arg=name)

    def loader_requests(self) -> int:
        return sum(request.url in self._loaders for request in self.requests)

    def mark(self) -> None:
        """Remember this element and this document."""
        self.page.evaluate("window.marked = document.querySelector('sentifyd-bot')")

    def is_same(self) -> bool:
        """Whether element and document are still the same."""
        same: bool = self.page.evaluate(
            "() => !!window.marked && window.marked === document.querySelector('sentifyd-bot')"
        )
        return same

    def log(self) -> Locator:
        return self.element().get_by_role("log", name="Conversation")

    def say(self, text: str) -> None:
        """Write to the open avatar, and wait for its answer."""
        self.element().get_by_role("textbox").fill(text)
        self.page.keyboard.press("Enter")
        self.log().get_by_text(f"You wrote: “{text}”").wait_for()

    def launcher(self) -> Locator:
        """The launcher, which is shown instead of the avatar."""
        return self.page.locator("[data-sentifyd-launcher] > button")

    def question(self) -> Locator:
        """The question for consent, beside the launcher."""
        return self.page.locator("[data-sentifyd-launcher]").get_by_role("dialog")

    def launcher_status(self) -> Locator:
        return self.page.locator("[data-sentifyd-launcher] [role=status]")

    def reported_errors(self) -> list[str]:
        """The reasons of the runtime's error events."""
        reasons: list[str] = self.page.evaluate(
            "seen.events.filter(([name]) => name === 'error').map(([, reason]) => reason)"
        )
        return reasons
