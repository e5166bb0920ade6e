"""Simulate visitors in the system's Chromium, and read what the browser reports."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from benchmarks.modes import Mode

__all__ = ["Paint", "Traffic", "Visit", "Weight", "chromium", "has_chromium", "visiting"]

NAMES = ("chromium", "chromium-browser", "google-chrome", "chromium-headless-shell")
# Without these, Chromium sends requests of its own. As root it needs --no-sandbox.
FLAGS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CONNECTED = 'sentifyd-bot[data-state="connected"]'
# An older phone on a slow network.
CPU_SLOWDOWN = 4
NETWORK = {
    "offline": False,
    "latency": 150,
    "downloadThroughput": 1_600_000 / 8,
    "uploadThroughput": 750_000 / 8,
}
PATIENCE_MS = 60_000
WATCH = """
window.seen = { paint: 0, shift: 0 };
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) seen.paint = entry.startTime;
}).observe({ type: "largest-contentful-paint", buffered: true });
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) seen.shift += entry.hadRecentInput ? 0 : entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
# Resolves when the new page is in place and laid out. It does not wait for a frame, because frames
# come at fixed intervals, which would hide small differences.
NAVIGATE = """
(url) => new Promise((resolve) => {
  const link = document.createElement("a");
  link.href = url;
  let isFirst = true, start;
  // The first call is for the current page.
  const subscription = document$.subscribe(() => {
    if (isFirst) return (isFirst = false);
    document.body.offsetHeight;
    const taken = performance.now() - start;
    setTimeout(() => {
      subscription.unsubscribe();
      link.remove();
      resolve(taken);
    });
  });
  document.body.append(link);
  start = performance.now();
  link.click();
})
"""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Number of requests and their bytes with headers; a WebSocket counts as 0 bytes."""

    requests: int
    size: int = 0

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.requests + other.requests, self.size + other.size)

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(self.requests - other.requests, self.size - other.size)


class Paint(NamedTuple):
    """Paint metrics of a page view.

    Attributes:
        largest: milliseconds to the largest contentful paint.
        shift: cumulative layout shift.
    """

    largest: float
    shift: float


class Weight(NamedTuple):
    """Numbers of listeners and nodes of a page after a garbage collection."""

    listeners: int
    nodes: int


@dataclass
class Visit:
    """A visit of a page, recorded from its first request on."""

    page: Page
    mode: Mode
    address: str
    session: CDPSession
    sockets: int = 0
    addresses: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)

    def listen(self) -> None:
        def finish(event: dict[str, Any]) -> None:
            self.sizes[event["requestId"]] = event["encodedDataLength"]

        def send(event: dict[str, Any]) -> None:
            self.addresses[event["requestId"]] = event["request"]["url"]

        def connect(_: object) -> None:
            self.sockets += 1

        self.session.on("Network.requestWillBeSent", send)
        self.session.on("Network.loadingFinished", finish)
        self.session.on("Network.webSocketCreated", connect)
        self.session.send("Network.enable")
        self.session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def slow_down(self) -> None:
        self.session.send("Emulation.setCPUThrottlingRate", {"rate": CPU_SLOWDOWN})
        self.session.send("Network.emulateNetworkConditions", NETWORK)

    def begin(self) -> None:
        """Open the page, and wait until the network is idle."""
        self.page.goto(self.address)
        if self.mode.comes:
            self.page.wait_for_selector(CONNECTED, state="attached")
        self.page.wait_for_load_state("networkidle")

    def use(self) -> None:
        """Open the avatar."""
        self.page.click(self.mode.opens)
        self.page.wait_for_selector(f"{CONNECTED} .panel")

    def traffic(self, port: int, *others: int) -> Traffic:
        """Return the traffic to the servers on these ports."""
        ports = (port, *others)
        sent = [key for key, url in self.addresses.items() if urlsplit(url).port in ports]
        return Traffic(len(sent), sum(self.sizes.get(key, 0) for key in sent))

    def asked_for(self, address: str) -> int:
        """Return how often an address was requested."""
        return list(self.addresses.values()).count(address)

    def paint(self) -> Paint:
        seen = self.page.evaluate("seen")
        return Paint(seen["paint"], seen["shift"])

    def navigate(self, address: str) -> float:
        """Return the milliseconds of an instant navigation."""
        taken: float = self.page.evaluate(NAVIGATE, address)
        return taken

    def work(self) -> float:
        """Return the CPU milliseconds of the page's main thread so far."""
        metrics = self.session.send("Performance.getMetrics")["metrics"]
        (seconds,) = (one["value"] for one in metrics if one["name"] == "TaskDuration")
        return float(seconds) * 1000

    def weight(self) -> Weight:
        self.session.send("HeapProfiler.collectGarbage")
        counters = self.session.send("Memory.getDOMCounters")
        return Weight(counters["jsEventListeners"], counters["nodes"])


def has_chromium() -> bool:
    return _executable() is not None


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start the system's Chromium in headless mode."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_executable(), args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser, mode: Mode, address: str) -> Iterator[Visit]:
    """Create a visitor with an empty cache and a stored decision about consent.

    Args:
        browser: the browser.
        mode: the mode of the site's avatar.
        address: URL of the site.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(PATIENCE_MS)
    key = f"{urlsplit(address).path}.__consent"
    context.add_init_script(f"localStorage[{key!r}] = {mode.answer!r};\n{WATCH}")
    page = context.new_page()
    visit = Visit(page, mode, address, context.new_cdp_session(page))
    visit.listen()
    yield visit
    context.close()


def _executable() -> str | None:
    chosen = os.environ.get("CHROMIUM")
    return next(filter(None, map(shutil.which, (chosen,) if chosen else NAMES)), None)
