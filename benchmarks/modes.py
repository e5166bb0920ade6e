"""The modes of the avatar, with a built site for each and a plain twin without the plugin."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mkdocs.__main__ import cli

from benchmarks.servers import Sandbox, Server, free_port, service
from benchmarks.sites import write_site

__all__ = ["AGREED", "MODES", "REFUSED", "Mode", "Places", "Site", "build_sites"]

OPENS = "sentifyd-bot button.launcher"
ASKS_FIRST = "[data-sentifyd-launcher] > button"
CONSENT = "sentifyd"
# The decision as Material stores it; without one, its form would cover the page.
AGREED = json.dumps({CONSENT: True})
REFUSED = json.dumps({CONSENT: False})


class Site(NamedTuple):
    """A site to build.

    Attributes:
        name: name of its folder.
        options: options of the plugin, or `None` for a site without the plugin.
        is_instant: whether it has `navigation.instant`.
        has_form: whether it has a consent form.
    """

    name: str
    options: Mapping[str, Any] | None = None
    is_instant: bool = False
    has_form: bool = False

    @property
    def plain(self) -> Site:
        """The same site without the plugin."""
        name = f"plain{'-instant' * self.is_instant}{'-form' * self.has_form}"
        return Site(name, None, self.is_instant, self.has_form)


class Mode(NamedTuple):
    """A mode of the avatar.

    Attributes:
        name: name in the tables.
        site: the site in this mode.
        comes: whether the avatar loads without an action of the visitor.
        opens: selector of the button that opens the avatar; empty if there is none.
        answer: the visitor's stored decision about consent.
    """

    name: str
    site: Site
    comes: bool = True
    opens: str = OPENS
    answer: str = AGREED

    @property
    def plain(self) -> Mode:
        """The same mode without an avatar."""
        return Mode(f"{self.name}, plain", self.site.plain, False, "", self.answer)


_AGREEING = Site("consent", {"consent": CONSENT}, has_form=True)
_EVERYTHING = {
    "load": "interaction",
    "consent": CONSENT,
    "actions": True,
    "shortcut": "ctrl+alt+a",
    "appearance": {"follow_palette": True},
}
MODES = (
    Mode("`load: eager`, static tags", Site("eager", {})),
    Mode("`load: eager`, instant navigation", Site("instant", {}, is_instant=True)),
    Mode("`load: idle`", Site("idle", {"load": "idle"})),
    Mode(
        "`load: interaction`",
        Site("interaction", {"load": "interaction"}),
        comes=False,
        opens=ASKS_FIRST,
    ),
    Mode("`consent`, not given", _AGREEING, comes=False, opens="", answer=REFUSED),
    Mode("`consent`, given", _AGREEING),
    Mode(
        "everything, instant navigation",
        Site("everything", _EVERYTHING, is_instant=True, has_form=True),
        comes=False,
        opens=ASKS_FIRST,
    ),
)


class Places(NamedTuple):
    """Servers on this machine.

    Attributes:
        pages: serves each site from a folder with its name.
        sandbox: the stand-in for Sentifyd.
        tokens: the token service.
    """

    pages: Server
    sandbox: Sandbox
    tokens: Server

    @classmethod
    def around(cls, folder: Path) -> Places:
        """Create, but do not start, the servers for the sites in a folder."""
        port = free_port()
        command = (sys.executable, "-m", "benchmarks.pages", str(folder))
        sandbox = Sandbox()
        origin = f"http://127.0.0.1:{port}"
        return cls(
            Server(command, port, {"PORT": str(port)}),
            sandbox,
            service(sandbox, "direct", ALLOWED_ORIGINS=origin),
        )

    def address(self, site: Site) -> str:
        return f"http://127.0.0.1:{self.pages.port}/{site.name}/"

    @property
    def loader(self) -> str:
        return f"http://127.0.0.1:{self.sandbox.port}/sentifyd-bot/main.js"


def build_sites(folder: Path, places: Places, pages: int) -> None:
    """Build the sites of all modes and their plain twins, below a folder that is served."""
    os.environ["NO_MKDOCS_2_WARNING"] = "1"
    sources = folder.with_name("sources")
    write_site(sources, pages, "material")
    sites = {site.name: site for mode in MODES for site in (mode.site, mode.site.plain)}
    for site in sites.values():
        file = sources / f"site-{site.name}.yml"
        # JSON is YAML too.
        file.write_text(json.dumps(_config(site, folder, places)), encoding="utf-8")
        # Building in this process is faster, because importing takes longer than building.
        cli.main(["build", "--strict", "--quiet", "-f", str(file)], standalone_mode=False)


def _config(site: Site, folder: Path, places: Places) -> dict[str, Any]:
    avatar = {
        "avatar_id": "avtr_1234abcd",
        "token_endpoint": f"http://127.0.0.1:{places.tokens.port}/request_tokens",
        "loader": {"url": places.loader},
    }
    ours: Iterable[object] = (
        () if site.options is None else [{"sentifyd": avatar | dict(site.options)}]
    )
    form = {"consent": {"title": "Cookies", "description": "May they?"}} if site.has_form else {}
    return {
        "site_name": "Benchmark",
        "site_url": places.address(site),
        "site_dir": str(folder / site.name),
        "theme": {
            "name": "material",
            "font": False,
            "features": ["navigation.instant"] if site.is_instant else [],
        },
        "plugins": ["search", *ours],
        "extra": form,
    }
