"""The pictures of README and documentation: the demo in Chromium, photographed.

Run it with the demo's address: `python scripts/pictures.py http://127.0.0.1:8000`.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FOLDER = Path(__file__).parents[1] / "example_docs" / "docs" / "assets"


def main(site: str) -> None:
    """Write every picture."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--disable-background-networking", "--disable-component-update"],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 760})
        page.goto(site)
        avatar = page.locator('sentifyd-bot[data-state="connected"]')
        avatar.get_by_role("button", name="Avatar (sandbox)").click()
        avatar.get_by_role("textbox").fill("Where does your token come from?")
        page.keyboard.press("Enter")
        avatar.get_by_text("You wrote:").wait_for()
        avatar.locator("form").evaluate("form => form.querySelector('input').blur()")
        page.screenshot(path=FOLDER / "avatar.png")
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1])
