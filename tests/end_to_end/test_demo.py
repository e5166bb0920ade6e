"""The demo as a new user sees it: three servers, one page, a real browser."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
import requests

from tests.support.browsing import Visit
from tests.support.processes import Command, group_is_empty

KEY = "canary-demo-key-5d11"
FREE_PORTS = {"SITE_PORT": "0", "EDGE_PORT": "0", "SANDBOX_PORT": "0"}
TOKEN_LIFE = 3


class Demo:
    def __init__(self, command: Command) -> None:
        self.command = command
        self.site = command.wait_for(r"Open (http://\S+)/")[1]
        self.edge = command.wait_for(r"watch how (http://\S+) refreshes")[1]


def start(root: Path, **variables: str) -> Command:
    with chdir(root):
        return Command(
            *("sentifyd-edge", "demo", "--token-life", str(TOKEN_LIFE)),
            **{"SANDBOX_API_KEY": KEY, **FREE_PORTS, **variables},
        )


@pytest.fixture(scope="module")
def demo(root: Path) -> Iterator[Demo]:
    with start(root) as command:
        yield Demo(command)
        assert command.stop() == 0
        assert KEY not in command.output
        assert "Traceback" not in command.output


@pytest.fixture(scope="module")
def small_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of a site that is built at once."""
    folder = tmp_path_factory.mktemp("small")
    (folder / "docs").mkdir()
    (folder / "docs" / "index.md").write_text("# Home\n")
    (folder / "mkdocs.yml").write_text("site_name: Other\n")
    return folder / "mkdocs.yml"


def test_avatar_connects_answers_and_refreshes(demo: Demo, visit: Visit) -> None:
    page = visit.page
    page.goto(demo.site)
    visit.wait_until_connected()
    first = visit.stored("authData_avtr_sandbox")
    assert isinstance(first, dict)
    page.evaluate(
        """() => {
            window.states = [];
            const avatar = document.querySelector("sentifyd-bot");
            new MutationObserver(() => window.states.push(avatar.dataset.state))
                .observe(avatar, {attributes: true, attributeFilter: ["data-state"]});
        }"""
    )

    avatar = page.locator(visit.avatar)
    avatar.get_by_role("button", name="Avatar (sandbox)").click()
    avatar.get_by_role("textbox").fill("Can I choose pages by patterns?")
    page.keyboard.press("Enter")
    answer = avatar.get_by_role("link", name="Choosing pages", exact=True)
    answer.wait_for()

    seen = {first["token"]}
    for _ in range(2):  # two token lives
        page.wait_for_function(
            """seen => {
                const token = JSON.parse(sessionStorage.authData_avtr_sandbox ?? "{}").token;
                return token && !seen.includes(token);
            }""",
            arg=list(seen),
        )
        visit.wait_until_connected()
        auth = visit.stored("authData_avtr_sandbox")
        assert isinstance(auth, dict)
        seen.add(auth["token"])

    assert len(seen) == 3
    assert set(page.evaluate("window.states")) == {"refreshing", "connected"}
    refreshes = [r.url for r in visit.requests if r.url.startswith(f"{demo.edge}/request_tokens?")]
    assert refreshes[0] == f"{demo.edge}/request_tokens?refreshToken={first['refreshToken']}"
    assert answer.is_visible()
    loaders = [r.url for r in visit.requests if r.url.endswith("/sentifyd-bot/main.js")]
    assert len(loaders) == 1
    assert visit.errors() == []
    assert KEY not in visit.all_received_text()


def test_output_ends_with_the_next_step_for_an_own_site(demo: Demo) -> None:
    demo.command.wait_for("mkdocs serve")

    *_, ctrl_c, empty, line = demo.command.output.splitlines()
    assert ctrl_c.endswith("Stop with Ctrl-C.")
    assert empty == ""
    assert "pip install '.[service]'" in line
    assert "preview: sandbox" in line
    guide = re.search(rf"{demo.site}/\S+/", line)
    assert guide
    page = requests.get(guide[0], timeout=5)
    assert page.ok
    assert "preview" in page.text


def test_next_step_with_another_config_file_names_the_guide(root: Path, small_site: Path) -> None:
    with Command(
        *("sentifyd-edge", "demo", "--config-file", str(small_site)), **FREE_PORTS
    ) as command:
        guide = command.wait_for(r"mkdocs serve there\. (\S+\.md) ")[1]
        assert command.stop() == 0

    assert "preview: sandbox" in (root / guide).read_text()


def test_avatar_connects_on_some_pages(demo: Demo, visit: Visit) -> None:
    """The two pages without an avatar contact no other host."""
    visit.page.goto(demo.site)
    links: list[str] = visit.page.evaluate(
        "[...document.querySelectorAll('.md-nav--primary a[href]')].map(link => link.href)"
    )
    assert KEY not in visit.all_received_text()
    pages = sorted({link.partition("#")[0] for link in links})
    without = {f"{demo.site}/without-an-avatar/", f"{demo.site}/guide/pages/"}
    assert without < set(pages)
    chosen = {*pages[::12], *without}
    assert len(chosen) >= 7
    for url in sorted(chosen):
        # The page before may be asking for a new token.
        visit.page.goto("about:blank")
        visit.requests.clear()
        visit.page.goto(url, wait_until="networkidle" if url in without else "load")
        if url in without:
            assert visit.page.locator(visit.avatar).count() == 0
            assert visit.origins() == {demo.site}
            # For the next page, which may have one.
            assert visit.page.locator("script[src*=sentifyd]").count() == 1
        else:
            visit.wait_until_connected()
            assert visit.page.locator(visit.avatar).count() == 1
        assert KEY not in visit.all_received_text()
    assert visit.errors() == []


def test_avatar_placed_by_the_author_connects(demo: Demo, visit: Visit) -> None:
    visit.page.goto(f"{demo.site}/guide/placing/")
    visit.wait_until_connected()

    avatar = visit.page.locator(f"article {visit.avatar}")
    assert avatar.get_by_role("textbox").is_visible()
    assert visit.page.locator(visit.avatar).count() == 1


def test_not_found_page_has_an_avatar(demo: Demo, visit: Visit) -> None:
    response = visit.page.goto(f"{demo.site}/nowhere/")
    assert response
    assert response.status == 404
    visit.wait_until_connected()


def test_code_samples_are_not_changed(demo: Demo, visit: Visit) -> None:
    visit.page.goto(f"{demo.site}/guide/site/")
    samples = " ".join(visit.page.locator("article code").all_inner_texts())

    assert (
        '<script src="https://frontend.sentifyd.io/sentifyd-bot/main.js" defer></script>' in samples
    )
    assert "</sentifyd-bot>\n</body>" in samples
    assert demo.edge not in samples


def test_conversation_continues_across_pages(demo: Demo, visit: Visit) -> None:
    visit.page.goto(demo.site)
    visit.wait_until_connected()
    avatar = visit.page.locator(visit.avatar)
    avatar.get_by_role("button", name="Avatar (sandbox)").click()
    avatar.get_by_role("textbox").fill("Remember me")
    avatar.get_by_role("button", name="Send").click()
    answer = avatar.get_by_text("I searched this site")
    answer.wait_for()

    visit.page.goto(f"{demo.site}/security/")
    visit.wait_until_connected()

    assert avatar.get_by_text("Remember me", exact=True).is_visible()
    assert answer.is_visible()


def test_link_in_an_answer_keeps_the_avatar(demo: Demo, visit: Visit) -> None:
    visit.page.goto(demo.site)
    visit.wait_until_connected()
    avatar = visit.page.locator(visit.avatar)
    avatar.get_by_role("button", name="Avatar (sandbox)").click()
    avatar.get_by_role("textbox").fill("How is a refresh token sealed?")
    avatar.get_by_role("button", name="Send").click()
    avatar.get_by_role("link").first.wait_for()
    visit.page.evaluate("document.querySelector('sentifyd-bot').isTheSame = true")

    avatar.get_by_role("link").first.click()

    visit.page.wait_for_url(re.compile(f"{demo.site}/."))
    assert avatar.evaluate("avatar => avatar.isTheSame") is True
    assert avatar.get_by_role("link").first.is_visible()
    assert len([r for r in visit.requests if r.url.endswith("/sentifyd-bot/main.js")]) == 1


def test_another_site_gets_no_tokens(demo: Demo) -> None:
    response = requests.get(
        f"{demo.edge}/request_tokens", headers={"Origin": "https://evil.example"}, timeout=5
    )

    assert response.status_code == 403


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stop_signal_leaves_no_process_or_file(
    small_site: Path, tmp_path: Path, number: signal.Signals
) -> None:
    command = Command(
        *("sentifyd-edge", "demo", "--config-file", str(small_site)),
        TMPDIR=str(tmp_path),
        **FREE_PORTS,
    )
    demo = Demo(command)
    port = int(demo.site.rpartition(":")[2])

    assert command.stop(number) == 0
    assert group_is_empty(command.pid)
    assert list(tmp_path.iterdir()) == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stop_signal_during_the_build_exits_with_130(
    root: Path, tmp_path: Path, number: signal.Signals
) -> None:
    command = start(root, TMPDIR=str(tmp_path))
    command.wait_for("Building the site")

    assert command.stop(number) == 130
    assert group_is_empty(command.pid)
    assert list(tmp_path.iterdir()) == []
    assert "Traceback" not in command.output


def test_build_killed_by_ctrl_c_is_no_build_failure(tmp_path: Path) -> None:
    # Ctrl-C during the build, which ends before the demo checks it again.
    (tmp_path / "ctrl_c.py").write_text(
        "import os, signal\n"
        "def on_pre_build(config):\n"
        "    signal.signal(signal.SIGINT, lambda *_: os._exit(1))\n"
        "    os.killpg(0, signal.SIGINT)\n"
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "mkdocs.yml").write_text("site_name: Stopped\nhooks: [ctrl_c.py]\n")
    with Command(
        *("sentifyd-edge", "demo", "--config-file", str(tmp_path / "mkdocs.yml")), **FREE_PORTS
    ) as command:
        assert command.wait() == 130

    assert "the build of the site failed" not in command.output


@pytest.mark.parametrize("variable", ["SITE_PORT", "EDGE_PORT", "SANDBOX_PORT"])
def test_port_in_use_is_reported_with_its_variable(root: Path, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        with start(root, **{variable: port}) as command:
            assert command.wait() == 2

    assert command.output == (
        f"sentifyd-edge: port {port} on 127.0.0.1 is in use: choose another with {variable}\n"
    )


def test_malformed_port_is_reported(root: Path) -> None:
    with start(root, SITE_PORT="http") as command:
        assert command.wait() == 2

    assert command.output == "sentifyd-edge: SITE_PORT must be a whole number from 0 to 65535\n"


def test_missing_config_file_is_reported(tmp_path: Path) -> None:
    result = subprocess.run(
        [str(Path(sys.executable).parent / "sentifyd-edge"), "demo"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert result.returncode == 2
    assert result.stderr.startswith("sentifyd-edge: example_docs/mkdocs.yml does not exist")
    assert len(result.stderr.splitlines()) == 1


def test_failed_build_is_reported(tmp_path: Path) -> None:
    (tmp_path / "mkdocs.yml").write_text(
        "site_name: Broken\ntheme: material\nplugins: [sentifyd]\n"
    )
    (tmp_path / "docs").mkdir()
    with Command(
        *("sentifyd-edge", "demo", "--config-file", str(tmp_path / "mkdocs.yml")), **FREE_PORTS
    ) as command:
        assert command.wait() == 2

    lines = [line for line in command.output.splitlines() if line.strip()]
    assert lines[1] == "sentifyd-edge: the build of the site failed:"
    assert "option 'avatar_id': missing" in lines[2]
    assert "option 'token_endpoint': missing" in lines[3]
    assert len(lines) <= 5
    assert "Traceback" not in command.output


def test_build_warning_stops_the_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    docs = tmp_path / "example_docs" / "docs"
    docs.mkdir(parents=True)
    (docs / "index.md").write_text("---\nsentifyd: perhaps\n---\n# Home\n")
    options = "avatar_id: avtr_1, token_endpoint: 'http://127.0.0.1:1/request_tokens'"
    (docs.parent / "mkdocs.yml").write_text(
        f"site_name: Example\nplugins:\n  - sentifyd: {{{options}}}\n"
    )
    monkeypatch.chdir(tmp_path)
    with Command("sentifyd-edge", "demo", **FREE_PORTS) as command:
        assert command.wait() == 2

    lines = [line for line in command.output.splitlines() if line.strip()]
    assert lines[1] == "sentifyd-edge: the build of the site failed:"
    assert "index.md" in lines[2]
    assert not [line for line in lines if line.startswith("INFO")]
