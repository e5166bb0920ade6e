"""Take the screenshots for README and documentation, of the demo in Chromium and other engines.

Run it in the project's folder: `python -m scripts.pictures`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from edge_service.sandbox.demo import EXAMPLE
from tests.support.engines import Tab, chromium, firefox, webkit

FOLDER = Path("example_docs/docs/assets")
# A page of the example without an image.
PAGE = "guide/site/"
QUESTION = "Can I choose pages by patterns?"
# A site that asks for consent.
CONSENT = """
site_name: Example Docs
theme: {name: material, font: false, palette: {primary: teal}}
plugins:
  - sentifyd:
      avatar_id: avtr_sandbox
      token_endpoint: !ENV SENTIFYD_TOKEN_ENDPOINT
      loader: {url: !ENV SENTIFYD_LOADER_URL}
      consent: sentifyd
"""
# In the consent form of Material, or at the launcher.
FORM = """
extra:
  consent:
    title: Cookies and other sites
    description: The avatar on these pages comes from Sentifyd. It is loaded when you agree to it.
    actions: [accept, reject]
"""
LAUNCHER = """
      load: interaction
      brand: {privacy_url: privacy/}
"""


@contextmanager
def demo(load: str = "eager", config_file: Path = EXAMPLE) -> Iterator[str]:
    """Run the demo on free ports.

    Args:
        load: value of the option `load` for the example.
        config_file: configuration of the site.

    Yields:
        The URL of the site.
    """
    ports = dict.fromkeys(("SITE_PORT", "EDGE_PORT", "SANDBOX_PORT"), "0")
    command = [sys.executable, "-u", "-m", "edge_service.cli", "demo", "--token-life", "3600"]
    with subprocess.Popen(
        [*command, "--config-file", str(config_file)],
        env={**os.environ, **ports, "SENTIFYD_LOAD": load},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None  # for the type checker
        try:
            lines = (re.search(r"Open (\S+)", line) for line in process.stdout)
            yield next(found[1] for found in lines if found)
        finally:
            process.terminate()
            process.communicate()


def ask(page: Page, site: str) -> None:
    """Ask the avatar of a page a question, and wait for its answer."""
    page.goto(site + PAGE)
    avatar = page.locator('sentifyd-bot[data-state="connected"]')
    avatar.get_by_role("button", name="Avatar (sandbox)").click()
    avatar.get_by_role("textbox").fill(QUESTION)
    page.keyboard.press("Enter")
    avatar.get_by_role("link").first.wait_for()
    avatar.get_by_role("textbox").blur()


def capture_avatar(browser: Browser, site: str) -> None:
    """Take the screenshots of the open avatar."""
    for name, width, height, scheme in (
        ("avatar", 920, 560, "light"),
        ("avatar-dark", 920, 560, "dark"),
        ("avatar-phone", 360, 640, "light"),
    ):
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        ask(page, site)
        page.screenshot(path=FOLDER / f"{name}.png")
        page.close()


@contextmanager
def consent(browser: Browser, more: str) -> Iterator[Page]:
    """Open a site that asks for consent.

    Args:
        browser: the browser.
        more: the end of its configuration, which says where it asks.
    """
    with tempfile.TemporaryDirectory() as folder:
        config_file = Path(folder, "mkdocs.yml")
        config_file.write_text(CONSENT.rstrip() + more)
        Path(folder, "docs").mkdir()
        Path(folder, "docs/index.md").write_text("# Example Docs\n\n## Install\n\n## Use\n")
        with demo(config_file=config_file) as site:
            page = browser.new_page(viewport={"width": 920, "height": 440}, reduced_motion="reduce")
            page.goto(site)
            yield page
            page.close()


def capture_consent(browser: Browser) -> None:
    """Take the screenshots of Material's form, with the box ticked, and of the question."""
    with consent(browser, FORM) as page:
        page.locator("form[name=consent]").get_by_text("Sentifyd avatar").click()
        page.mouse.move(0, 0)
        page.screenshot(path=FOLDER / "consent.png")
    with consent(browser, LAUNCHER) as page:
        page.get_by_role("button", name="Talk to the avatar").click()
        page.get_by_role("dialog").get_by_role("button", name="Allow").wait_for()
        page.mouse.move(0, 0)
        page.screenshot(path=FOLDER / "question.png")


def capture_engine(tab: Tab, site: str, name: str) -> None:
    """Take the screenshot of the open avatar in an engine."""
    root = "document.querySelector('sentifyd-bot[data-state=connected]').shadowRoot"
    # WebKitGTK's window is never narrower than 447 pixels.
    tab.resize(460, 440)
    tab.open(site + PAGE)
    tab.click(f"{root}.querySelector('.launcher')")
    tab.click(f"{root}.querySelector('input')")
    tab.type(QUESTION)
    tab.press("Enter")
    tab.wait_for(f"{root}.querySelector('.log a') && !{root}.host.hasAttribute('data-talking')")
    tab.evaluate(f"{root}.activeElement?.blur()")
    path = FOLDER / f"engine-{name}.png"
    tab.screenshot(path)
    with Image.open(path) as picture:
        # Firefox writes a larger file, with an alpha channel.
        picture.convert("RGB").save(path, optimize=True)


def main() -> None:
    """Take every screenshot."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )
        capture_consent(browser)
        with demo() as site:
            capture_avatar(browser, site)
            with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
                engines = {
                    "chromium": chromium(browser),
                    "firefox": firefox(Path(folder)),
                    "webkit": webkit(Path(folder)),
                }
                for name, engine in engines.items():
                    capture_engine(stack.enter_context(engine), site, name)
        with demo("interaction") as site:
            page = browser.new_page(viewport={"width": 920, "height": 560})
            page.goto(site + PAGE)
            page.get_by_role("button", name="Talk to the avatar").wait_for()
            page.screenshot(path=FOLDER / "launcher.png")
        browser.close()


if __name__ == "__main__":
    main()
