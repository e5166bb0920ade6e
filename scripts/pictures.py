"""The pictures of README and documentation: the demo in Chromium, photographed.

Run it in the clone's folder: `python -m scripts.pictures`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

FOLDER = Path("example_docs/docs/assets")
QUESTION = "Can I choose pages by patterns?"


@contextmanager
def demo(load: str) -> Iterator[str]:
    """Run the demo, on free ports.

    Args:
        load: the option of this name.

    Yields:
        The address of the site.
    """
    ports = dict.fromkeys(("SITE_PORT", "EDGE_PORT", "SANDBOX_PORT"), "0")
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "edge_service.cli", "demo", "--token-life", "3600"],
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
    """Open the avatar of the first page, and wait for its answer."""
    page.goto(site)
    avatar = page.locator('sentifyd-bot[data-state="connected"]')
    avatar.get_by_role("button", name="Avatar (sandbox)").click()
    avatar.get_by_role("textbox").fill(QUESTION)
    page.keyboard.press("Enter")
    avatar.get_by_role("link").first.wait_for()
    avatar.get_by_role("textbox").blur()


def photograph(browser: Browser, site: str) -> None:
    """Take the pictures of the open avatar."""
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


def main() -> None:
    """Write every picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )
        with demo("eager") as site:
            photograph(browser, site)
        with demo("interaction") as site:
            page = browser.new_page(viewport={"width": 920, "height": 560})
            page.goto(site)
            page.get_by_role("button", name="Talk to the avatar").wait_for()
            page.screenshot(path=FOLDER / "launcher.png")
        browser.close()


if __name__ == "__main__":
    main()
