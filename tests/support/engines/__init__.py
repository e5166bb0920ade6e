"""Three browser engines behind one small interface: Chromium, Firefox and WebKitGTK.

Chromium is driven by Playwright, as in all other tests. The others are driven by their own W3C
protocols, without another package: Playwright 1.65 sends Firefox ESR 153 a command that it does not
have, and it drives only its own build of WebKit, which Debian does not have.
"""

from __future__ import annotations

from tests.support.engines.bidi import firefox
from tests.support.engines.chromium import chromium
from tests.support.engines.tab import Tab
from tests.support.engines.webdriver import webkit

__all__ = ["NAMES", "Tab", "chromium", "firefox", "webkit"]

NAMES = ("chromium", "firefox", "webkit")
