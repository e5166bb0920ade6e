"""A live server, which adds a script of its own to every page."""

from __future__ import annotations

import http.client
import re
import socket

from tests.matrix.sites import OFF, Site
from tests.plugin.conftest import Page
from tests.support.processes import Command

RELOAD = re.compile(r"\blivereload\((\d+), (\d+)\);")


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def _get(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_a_live_server_renews_a_page_without_a_second_avatar(site: Site) -> None:
    site.write({"docs/index.md": "# Home\n", "docs/off.md": f"{OFF}# Off\n"})
    site.configure()
    port = _free_port()
    name = site.environment.name
    with Command(
        str(site.environment.scripts / name),
        "serve",
        "--livereload",
        f"--dev-addr=127.0.0.1:{port}",
        f"--config-file={site.folder / 'mkdocs.yml'}",
        **site.environment.variables(),
    ) as server:
        server.wait_for("Serving on")
        before = _get(port, "/")
        reload = RELOAD.search(before)
        assert reload

        site.write({"docs/index.md": "# Home\n\nChanged.\n"})
        # Answers as soon as the new pages are there.
        _get(port, f"/livereload/{reload[1]}/{reload[2]}")
        after = _get(port, "/")
        off = _get(port, "/off/")

        assert server.stop() == 0
    assert "Changed." not in before
    assert "Changed." in after
    for html in (before, after):
        assert len(RELOAD.findall(html)) == 1
        Page(html).assert_avatar()
    Page(off).assert_nothing_of_ours()
