"""A real Prometheus that runs the committed configuration, with other targets and intervals."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import requests
import yaml

from tests.support import missing
from tests.support.ports import free_port
from tests.support.processes import Command
from tests.support.waiting import TIMEOUT

# A busy machine may need nearly a second for a scrape.
INTERVAL = "1s"


class Prometheus:
    """A running Prometheus, for the length of a `with` block.

    Args:
        folder: for its configuration and its data.
        config: the committed configuration; files that it names are beside it.
        targets: host and port of each instance to scrape, instead of those in the configuration.
    """

    def __init__(self, folder: Path, config: Path, targets: Iterable[str]) -> None:
        self._executable = executable("prometheus")
        self._folder = folder
        content = yaml.safe_load(config.read_text(encoding="utf-8"))
        content["global"] = dict.fromkeys(content["global"], INTERVAL)
        content["rule_files"] = [str(config.parent / name) for name in content["rule_files"]]
        [job] = content["scrape_configs"]
        job["static_configs"] = [{"targets": list(targets)}]
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")

    def __enter__(self) -> Prometheus:
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        self._command = Command(
            self._executable,
            f"--config.file={self._folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self._folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
        )
        try:
            self._command.wait_for("Server is ready to receive web requests")
        except AssertionError:
            self._command.wait()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._command.stop(signal.SIGTERM)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The current result of an expression: its samples, each with `metric` and `value`."""
        result: list[dict[str, Any]] = self._get("query", query=expression)["result"]
        return result

    def rules(self) -> list[dict[str, Any]]:
        """Every rule, with its `health` and, once it was evaluated, `lastError`."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _get(self, what: str, **parameters: str) -> dict[str, Any]:
        answer = requests.get(f"{self._url}/api/v1/{what}", params=parameters, timeout=TIMEOUT)
        content = answer.json()
        assert content["status"] == "success", (parameters, content)
        data: dict[str, Any] = content["data"]
        return data


def executable(name: str) -> str:
    """The path of `prometheus` or `promtool`; skips the test if it is missing."""
    if (found := shutil.which(name)) is None:
        missing.skip("no Prometheus: run 'sudo apt-get install prometheus'")
    return found
