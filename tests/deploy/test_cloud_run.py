"""The token service on Cloud Run, as far as it can be tested without Cloud Run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import requests
import yaml

from edge_service.admission.addresses import ClientAddresses
from edge_service.app import create_app
from edge_service.settings import Settings
from tests.support.ports import free_port
from tests.support.processes import Command
from tests.support.settings import KEY, ORIGIN, settings_for


@pytest.fixture(scope="module")
def service(root: Path) -> dict[str, Any]:
    text = (root / "deploy" / "cloud-run" / "service.yaml").read_text()
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


@pytest.fixture(scope="module")
def container(service: dict[str, Any]) -> dict[str, Any]:
    (container,) = service["spec"]["template"]["spec"]["containers"]
    assert isinstance(container, dict)
    return container


@pytest.fixture
def variables(container: dict[str, Any], tmp_path: Path) -> dict[str, str]:
    """The container's variables, with the key in a file of the test."""
    (tmp_path / "value").write_text(KEY)
    variables = {entry["name"]: entry["value"] for entry in container["env"]}
    (mount,) = container["volumeMounts"]
    path = variables["AVATAR_API_KEY_FILE"].replace(mount["mountPath"], str(tmp_path))
    return {**variables, "AVATAR_API_KEY_FILE": path}


def test_template_is_valid_kubernetes_pod(service: dict[str, Any]) -> None:
    """Validate the part that Cloud Run shares with Kubernetes against Kubernetes' schema."""
    spec = dict(service["spec"]["template"]["spec"])
    assert spec.pop("containerConcurrency")
    assert spec.pop("timeoutSeconds") > 1 + 5
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one"}, "spec": spec}

    kubernetes_validate.validate(pod, kubernetes_validate.latest_version(), strict=True)


def test_service_listens_on_port_from_cloud_run(
    container: dict[str, Any], variables: dict[str, str], sandbox_url: str
) -> None:
    """On every address and the port in PORT; metrics are not public."""
    port, metrics = free_port(), free_port()
    more = {"PORT": str(port), "METRICS_PORT": str(metrics), "SENTIFYD_BACKEND": sandbox_url}
    with Command("sentifyd-edge", "serve", **{**variables, **more}) as command:
        assert command.wait_for(r'"host": "([^"]+)", "port": (\d+)').groups() == (
            "0.0.0.0",
            str(port),
        )
        # An address of this machine that is not 127.0.0.1.
        base = f"http://127.0.0.2:{port}"
        page = {"Origin": variables["ALLOWED_ORIGINS"]}
        assert requests.get(f"{base}/request_tokens", headers=page, timeout=5).status_code == 200
        for probe in ("startupProbe", "livenessProbe"):
            path = container[probe]["httpGet"]["path"]
            assert requests.get(base + path, timeout=5).status_code == 200
        assert requests.get(f"{base}/metrics", timeout=5).status_code == 404
        command.stop()
    assert KEY not in command.output


def test_visitors_are_distinguished_by_address(variables: dict[str, str]) -> None:
    """Cloud Run appends the visitor's address, and connects from a link-local address."""
    addresses = ClientAddresses(Settings.from_env(variables).trusted_proxies)

    def key(peer: str, forwarded: str) -> str:
        headers = [(b"x-forwarded-for", forwarded.encode())]
        return addresses.key({"client": (peer, 1), "headers": headers})

    assert key("169.254.1.1", "192.0.2.7") == "192.0.2.7"
    assert key("169.254.1.1", "203.0.113.50,192.0.2.7") == "192.0.2.7"
    assert key("192.0.2.8", "203.0.113.50") == "192.0.2.8"


def test_probes_request_existing_routes(container: dict[str, Any]) -> None:
    routes = {getattr(route, "path", "") for route in create_app(settings_for()).routes}

    for probe in ("startupProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in routes
        assert container[probe]["httpGet"]["port"] == container["ports"][0]["containerPort"]
    assert ORIGIN in {entry["value"] for entry in container["env"]}
