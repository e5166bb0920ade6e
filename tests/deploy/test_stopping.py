"""Each recipe waits long enough after SIGTERM, for the settings that it contains."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_service.settings.variables import Variables
from edge_service.telemetry.tracing import EXPORT_SECONDS
from tests.deploy.conftest import recommended
from tests.support.container import compose, example_variables

DEPLOY = Path(__file__).parents[2] / "deploy"


def longest_stop(variables: Mapping[str, str]) -> float:
    """Seconds that `sentifyd-edge serve` takes at most to end, traces included."""
    drain, timeout = (
        variable.parse(variables[variable.name]) if variable.name in variables else variable.default
        for variable in (Variables.DRAIN_SECONDS, Variables.UPSTREAM_TIMEOUT)
    )
    return drain + 8 + 2 * timeout + EXPORT_SECONDS


def read(file: Path) -> Any:  # noqa: ANN401
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def kubernetes() -> tuple[float, dict[str, str]]:
    variables: dict[str, str] = {}
    # The base first, because the overlay's ConfigMap replaces its values.
    files = sorted((DEPLOY / "kubernetes").rglob("kustomization.yaml"), key=lambda f: f.parts)
    for file in files:
        for generator in read(file).get("configMapGenerator", []):
            variables |= dict(pair.split("=", 1) for pair in generator["literals"])
    deployment = read(DEPLOY / "kubernetes" / "base" / "deployment.yaml")
    pod = deployment["spec"]["template"]["spec"]
    assert "lifecycle" not in pod["containers"][0]
    return pod["terminationGracePeriodSeconds"], variables


def container() -> tuple[float, dict[str, str]]:
    service = compose()["services"]["edge"]
    allowed = re.fullmatch(r"(\d+)s", service["stop_grace_period"])
    assert allowed
    return float(allowed[1]), {**example_variables(), **service["environment"]}


def systemd() -> tuple[float, dict[str, str]]:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "nginx" / "sentifyd-edge@.service")
    return float(unit["Service"]["TimeoutStopSec"]), {
        **recommended(DEPLOY / "nginx" / "sentifyd-edge.env"),
        **recommended(DEPLOY / "identity-proxy" / "sentifyd-edge.env"),
    }


@pytest.mark.parametrize(
    "recipe", [kubernetes, container, systemd], ids=lambda recipe: recipe.__name__
)
def test_time_to_stop_covers_drain_requests_and_traces(recipe: Any) -> None:  # noqa: ANN401
    allowed, variables = recipe()
    assert allowed >= longest_stop(variables)


def test_pods_serve_until_no_node_sends_requests() -> None:
    _, variables = kubernetes()
    assert Variables.DRAIN_SECONDS.parse(variables["DRAIN_SECONDS"]) >= 5
