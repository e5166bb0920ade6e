"""The manifests of `deploy/kubernetes` match the API, each other and the service."""

from __future__ import annotations

import ipaddress
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import requests
import yaml

from edge_service.app import create_app, metrics_app
from edge_service.cli import parser
from edge_service.errors import BudgetSpent, BudgetUnavailable, ServiceError, UpstreamError
from edge_service.sealing import new_key
from edge_service.settings import Settings
from edge_service.settings.variables import declared
from tests.support.container import stages
from tests.support.servers import serving
from tests.support.settings import ORIGIN, avatar_settings, settings_for

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
EXAMPLE = FOLDER / "overlays" / "example"
# Read by Kustomize or prometheus-adapter, or a patch of another manifest: not resources themselves.
OTHERS = {
    "kustomization.yaml",
    "components/autoscale-requests/adapter-rules.yaml",
    "components/redis/deployment.yaml",
    "components/seal-keys/deployment.yaml",
}
LABELS = {"app.kubernetes.io/name": "sentifyd-edge"}
Manifest = dict[str, Any]


def read(name: str) -> Manifest:
    content: Manifest = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return content


def names() -> list[str]:
    """Every YAML file, by its path in the folder."""
    return sorted(str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*.yaml"))


PATCHES = sorted(name for name in OTHERS if name.endswith("/deployment.yaml"))
MANIFESTS = [n for n in names() if n not in OTHERS and Path(n).name not in OTHERS]
DEPLOYMENT: Manifest = read("base/deployment.yaml")
POD: Manifest = DEPLOYMENT["spec"]["template"]["spec"]
[CONTAINER] = POD["containers"]
PORTS = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}


# Not in the example.
SIGN_IN = "components/sign-in/kustomization.yaml"
SEAL_KEYS = "components/seal-keys/kustomization.yaml"
GATEWAYS = ("traefik", "ingress-nginx", "gateway")


def literals(*without: str) -> dict[str, str]:
    """The variables of every ConfigMap, wherever they are added."""
    found: dict[str, str] = {}
    for name in names():
        if Path(name).name == "kustomization.yaml" and name not in without:
            for generator in read(name).get("configMapGenerator", []):
                found.update(text.split("=", 1) for text in generator["literals"])
    return found


def mebibytes(text: str) -> int:
    assert text.endswith("Mi")
    return int(text.removesuffix("Mi"))


def check(manifest: Manifest) -> None:
    """Validate a manifest against the newest Kubernetes schema that is installed."""
    if manifest["kind"] == "PrometheusRule":
        # A custom resource, which `test_monitoring.py` compares with rules that promtool checks.
        assert manifest["apiVersion"] == "monitoring.coreos.com/v1"
        assert manifest["spec"].keys() == {"groups"}
        return
    if manifest["kind"] == "ServiceMonitor":
        # A custom resource, for which no schema is installed.
        assert manifest["apiVersion"] == "monitoring.coreos.com/v1"
        assert manifest["spec"].keys() == {"selector", "endpoints"}
        assert [e.keys() for e in manifest["spec"]["endpoints"]] == [{"port", "path", "interval"}]
        return
    if manifest["kind"] == "Middleware":
        assert manifest["apiVersion"] == "traefik.io/v1alpha1"
        assert manifest["spec"]["forwardAuth"].keys() == {
            *("address", "authResponseHeaders", "authRequestHeaders"),
        }
        return
    if manifest["kind"] == "HTTPRoute":
        assert manifest["apiVersion"] == "gateway.networking.k8s.io/v1"
        assert manifest["spec"].keys() == {"parentRefs", "hostnames", "rules"}
        return
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_are_valid(name: str) -> None:
    check(read(name))


@pytest.mark.parametrize("name", MANIFESTS)
def test_no_secret_is_committed(name: str) -> None:
    assert read(name)["kind"] != "Secret"


def test_every_file_is_used() -> None:
    used = set()
    for name in names():
        if Path(name).name == "kustomization.yaml":
            content, folder = read(name), (FOLDER / name).parent
            patches = [patch["path"] for patch in content.get("patches", []) if "path" in patch]
            for entry in [*content.get("resources", []), *content.get("components", []), *patches]:
                assert (folder / entry).exists(), entry
                used.add(str((folder / entry).resolve().relative_to(FOLDER)))
    assert set(MANIFESTS) | set(PATCHES) <= used


if KUBECTL := shutil.which("kubectl"):

    @pytest.mark.parametrize("autoscaler", ["autoscale-requests", "autoscale-cpu"])
    def test_kubectl_builds_the_example(autoscaler: str, tmp_path: Path) -> None:
        folder = tmp_path / "kubernetes"
        shutil.copytree(FOLDER, folder)
        file = folder / "overlays" / "example" / "kustomization.yaml"
        text = file.read_text().replace("autoscale-requests", autoscaler)
        # The optional component too.
        redis = "  - ../../components/redis\n"
        assert redis in text
        file.write_text(text.replace(redis, f"{redis}{redis.replace('redis', 'seal-keys')}"))
        command = [str(KUBECTL), "kustomize", str(file.parent)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        built: dict[tuple[str, str], Manifest] = {}
        for manifest in yaml.safe_load_all(text):
            check(manifest)
            built[manifest["kind"], re.sub(r"-\w{10}$", "", manifest["metadata"]["name"])] = (
                manifest
            )
        assert len(built) == 12

        deployment = built["Deployment", "sentifyd-edge"]["spec"]
        assert "replicas" not in deployment
        pod = deployment["template"]["spec"]
        mounts = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        volumes = {volume["name"]: volume["secret"] for volume in pod["volumes"]}
        assert mounts == volumes.keys() == {"avatar", "redis", "seal-keys"}
        # Root owns the files; this group may read them.
        assert pod["securityContext"]["fsGroup"] == 65532
        assert {volume["defaultMode"] for volume in volumes.values()} == {0o440}
        config = built["ConfigMap", "sentifyd-edge"]
        assert config["data"] == literals(SIGN_IN)
        [source] = pod["containers"][0]["envFrom"]
        assert source["configMapRef"]["name"] == config["metadata"]["name"]
        allowed = built["NetworkPolicy", "sentifyd-edge"]["spec"]["ingress"][0]["from"]
        ingress = built["Ingress", "sentifyd-edge"]["spec"]
        assert allowed == [
            {
                "namespaceSelector": {
                    "matchLabels": {"kubernetes.io/metadata.name": ingress["ingressClassName"]}
                }
            }
        ]

    @pytest.mark.parametrize("gateway", GATEWAYS)
    def test_kubectl_builds_the_example_with_sign_in(gateway: str, tmp_path: Path) -> None:
        folder = tmp_path / "kubernetes"
        shutil.copytree(FOLDER, folder)
        file = folder / "overlays" / "example" / "kustomization.yaml"
        names = "".join(
            f"  - ../../components/{name}\n" for name in ("sign-in", f"sign-in-{gateway}")
        )
        file.write_text(file.read_text().replace("images:\n", f"{names}images:\n"))
        command = [str(KUBECTL), "kustomize", str(file.parent)]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        built = {manifest["kind"]: manifest for manifest in yaml.safe_load_all(text)}
        for manifest in built.values():
            check(manifest)
        assert built["ConfigMap"]["data"] == literals(SEAL_KEYS)
        if gateway == "gateway":
            assert "Ingress" not in built
            assert built["HTTPRoute"]["metadata"]["namespace"] == "docs-avatar"
            return
        ingress = built["Ingress"]
        [rule] = ingress["spec"]["rules"]
        assert rule["host"] == ingress["spec"]["tls"][0]["hosts"][0] == "docs.example.com"
        annotations = ingress["metadata"]["annotations"]
        if gateway == "traefik":
            own = built["Middleware"]["metadata"]
            assert list(annotations.values()) == [f"{own['namespace']}-{own['name']}@kubernetescrd"]


def test_gateways_replace_the_header_that_the_service_trusts() -> None:
    """Otherwise a visitor could send it."""
    trusted = literals()["FORWARDED_USER_HEADER"]
    middleware = read("components/sign-in-traefik/middleware.yaml")["spec"]["forwardAuth"]
    assert middleware["authResponseHeaders"] == [trusted]
    [rule] = read("components/sign-in-gateway/httproute.yaml")["spec"]["rules"]
    [filtered] = rule["filters"]
    assert filtered["type"] == "ExternalAuth"
    assert filtered["externalAuth"]["http"]["allowedResponseHeaders"] == [trusted]
    [backend] = rule["backendRefs"]
    assert backend["name"] == read("base/service.yaml")["metadata"]["name"]
    patch = read("components/sign-in-ingress-nginx/kustomization.yaml")["patches"][0]["patch"]
    annotations = yaml.safe_load(patch)[1]["value"]
    prefix = "nginx.ingress.kubernetes.io/auth-"
    assert annotations[f"{prefix}response-headers"] == trusted
    assert annotations[f"{prefix}url"] == middleware["address"]


def test_config_maps_give_valid_settings(tmp_path: Path) -> None:
    variables = literals()
    known = {name for v in declared() for name in (v.name, v.file_name)}
    assert variables.keys() - known == set()
    for name, content in (
        ("AVATAR_API_KEY_FILE", "canary-key-kubernetes"),
        ("REDIS_URL_FILE", "rediss://:canary-password@redis.example.com:6379/0"),
        ("SEAL_KEYS_FILE", new_key()),
    ):
        # The path consists of a volume's mount path and a key of a Secret.
        assert any(variables[name].startswith(mount) for mount in mounts())
        file = tmp_path / name
        file.write_text(content)
        variables[name] = str(file)
    settings = Settings.from_env({**stages()[-1].environment, **variables})
    assert settings.trusted_proxies == (ipaddress.ip_network("10.244.0.0/16"),)
    assert settings.metrics_port == PORTS["metrics"]
    assert settings.port == PORTS["http"]
    assert settings.host == "0.0.0.0"


def mounts() -> Iterator[str]:
    patches = [read(name)["spec"]["template"]["spec"]["containers"][0] for name in PATCHES]
    for container in (CONTAINER, *patches):
        for mount in container["volumeMounts"]:
            # Kubernetes never updates a file that is mounted by itself.
            assert "subPath" not in mount
            yield mount["mountPath"] + "/"


def test_every_secret_is_a_file() -> None:
    secret = [variable for variable in declared() if variable.secret]
    assert {variable.file_name for variable in secret} <= literals().keys()
    assert {variable.name for variable in secret} & literals().keys() == set()


def test_pods_watch_the_files_of_their_secrets() -> None:
    assert parser().parse_args(CONTAINER["args"]).watch is True


def test_probes_request_existing_routes() -> None:
    with serving(create_app(settings_for(metrics_port=PORTS["metrics"]))) as url:
        for probe, path in (
            ("startupProbe", "/livez"),
            ("livenessProbe", "/livez"),
            ("readinessProbe", "/readyz"),
        ):
            get = CONTAINER[probe]["httpGet"]
            assert (get["path"], PORTS[get["port"]]) == (path, PORTS["http"])
            assert requests.get(url + get["path"], timeout=20).status_code == 200
        paths = read("overlays/example/ingress.yaml")["spec"]["rules"][0]["http"]["paths"]
        # Neither the key nor Sentifyd is real, so 502 is the answer of the route itself.
        assert requests.get(url + paths[0]["path"], timeout=20).status_code == 502


def test_pods_meet_restricted_security_standard() -> None:
    context, own = POD["securityContext"], CONTAINER["securityContext"]
    user, _, group = stages()[-1].the("USER").partition(":")
    assert context["runAsNonRoot"] is True
    assert (context["runAsUser"], context["runAsGroup"]) == (int(user), int(group))
    # Only root and this group can read secrets.
    assert context["fsGroup"] == int(group)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert own == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["automountServiceAccountToken"] is False
    assert POD["enableServiceLinks"] is False
    namespace = read("overlays/example/namespace.yaml")["metadata"]["labels"]
    assert namespace == {"pod-security.kubernetes.io/enforce": "restricted"}


def test_memory_limits_exceed_measured_use(root: Path) -> None:
    page = (root / "example_docs/docs/reference/performance-service.md").read_text()
    [row] = [line for line in page.splitlines() if "Resident memory after" in line]
    most = max(int(number) for number in re.findall(r"(\d+) MiB", row))
    requests, limits = (CONTAINER["resources"][kind] for kind in ("requests", "limits"))
    assert mebibytes(requests["memory"]) >= 1.5 * most
    assert mebibytes(limits["memory"]) >= 3 * most
    assert "cpu" in requests
    assert "cpu" not in limits


def test_all_selectors_match_the_pods() -> None:
    assert DEPLOYMENT["spec"]["template"]["metadata"]["labels"] == LABELS
    selectors = [t["labelSelector"]["matchLabels"] for t in POD["topologySpreadConstraints"]]
    for name in MANIFESTS:
        spec = read(name).get("spec", {})
        if "podSelector" in spec:
            selectors.append(spec["podSelector"]["matchLabels"])
        if "selector" in spec:
            selectors.append(spec["selector"].get("matchLabels", spec["selector"]))
    assert len(selectors) == 9
    assert [selector for selector in selectors if selector != LABELS] == []
    for kind in ("requests", "cpu"):
        scaler = read(f"components/autoscale-{kind}/horizontalpodautoscaler.yaml")["spec"]
        assert scaler["scaleTargetRef"] == {
            name: DEPLOYMENT[name] for name in ("apiVersion", "kind")
        } | {"name": DEPLOYMENT["metadata"]["name"]}
        assert scaler["minReplicas"] == DEPLOYMENT["spec"]["replicas"] > 1


def test_service_and_monitoring_use_the_pods_ports() -> None:
    service = read("base/service.yaml")
    assert service["metadata"]["labels"] == LABELS
    ports = {port["name"]: port["targetPort"] for port in service["spec"]["ports"]}
    assert ports == {"http": "http", "metrics": "metrics"}
    assert ports.keys() == PORTS.keys()
    [monitored] = read("components/monitoring/servicemonitor.yaml")["spec"]["endpoints"]
    assert monitored["port"] == "metrics"
    backend = read("overlays/example/ingress.yaml")["spec"]["rules"][0]["http"]["paths"][0]
    assert backend["backend"]["service"] == {
        "name": service["metadata"]["name"],
        "port": {"name": "http"},
    }


def test_network_policies_allow_only_required_ingress() -> None:
    allowed = {}
    for name in MANIFESTS:
        manifest = read(name)
        if manifest["kind"] == "NetworkPolicy":
            for rule in manifest["spec"].get("ingress", []):
                [port] = rule["ports"]
                [source] = rule["from"]
                allowed[port["port"]] = source["namespaceSelector"]["matchLabels"]
    assert allowed.keys() == PORTS.keys()
    assert allowed["metrics"] == {"kubernetes.io/metadata.name": "monitoring"}
    assert allowed["http"] != allowed["metrics"]
    base = read("base/networkpolicy.yaml")["spec"]
    assert base["policyTypes"] == ["Ingress", "Egress"]


def test_network_policies_allow_only_dns_https_and_redis() -> None:
    dns, internet = read("base/networkpolicy.yaml")["spec"]["egress"]
    assert {(p["protocol"], p["port"]) for p in dns["ports"]} == {("UDP", 53), ("TCP", 53)}
    assert internet["ports"] == [{"protocol": "TCP", "port": 443}]
    barred = [
        ipaddress.ip_network(text)
        for block in internet["to"]
        for text in block["ipBlock"]["except"]
    ]
    for address in ("10.1.2.3", "192.168.1.1", "169.254.169.254", "fd00::1"):
        assert any(ipaddress.ip_address(address) in network for network in barred)
    [redis] = read("components/redis/networkpolicy.yaml")["spec"]["egress"]
    assert redis["ports"] == [{"protocol": "TCP", "port": 6379}]


def autoscaling_rule() -> tuple[Manifest, dict[str, str]]:
    """The adapter's configuration, and the patterns that it selects series with, by label."""
    rules = FOLDER / "components/autoscale-requests/adapter-rules.yaml"
    rule: Manifest
    [rule] = yaml.safe_load(rules.read_text(encoding="utf-8"))
    return rule, dict(re.findall(r',(\w+)=~"([^"]+)"', rule["metricsQuery"]))


def test_autoscaler_uses_an_exported_metric(sandbox_url: str) -> None:
    rule, patterns = autoscaling_rule()
    scaler = read("components/autoscale-requests/horizontalpodautoscaler.yaml")["spec"]
    assert scaler["metrics"][0]["pods"]["metric"]["name"] == rule["name"]["as"]

    series = rule["seriesQuery"].partition("{")[0]
    avatars = {"": avatar_settings(sandbox_url), "offline": avatar_settings(name="offline")}
    app = create_app(Settings(avatars=avatars, rate_limit="1/day", metrics_port=PORTS["metrics"]))
    [monitored] = read("components/monitoring/servicemonitor.yaml")["spec"]["endpoints"]
    with serving(app) as url, serving(metrics_app(app)) as prometheus:

        def ask(path: str, method: str = "GET", origin: str = ORIGIN, **more: str) -> int:
            headers = {"Origin": origin, **{n.replace("_", "-"): v for n, v in more.items()}}
            return requests.request(method, url + path, headers=headers, timeout=20).status_code

        tokens = "/request_tokens"
        assert [ask(tokens), ask(tokens), ask(f"{tokens}/offline")] == [200, 429, 502]
        assert ask(tokens, origin="https://other.example.com") == 403
        assert [ask(f"{tokens}/nobody"), ask(tokens, "PUT"), ask("/livez")] == [404, 405, 200]
        assert ask(tokens, "OPTIONS", Access_Control_Request_Method="POST") == 204
        page = requests.get(prometheus + monitored["path"], timeout=20)
    assert page.status_code == 200
    samples = [
        (dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(count))
        for labels, count in re.findall(rf"^{series}{{(.*)}} (\S+)$", page.text, re.MULTILINE)
    ]
    assert sum(count for _, count in samples) == 8
    counted = [
        (labels["status"], count)
        for labels, count in samples
        if all(re.fullmatch(pattern, labels[name]) for name, pattern in patterns.items())
    ]
    assert sorted(counted) == [("200", 1.0), ("502", 1.0)]


def test_autoscaler_ignores_refused_requests() -> None:
    pattern = autoscaling_rule()[1]["code"]
    kinds = [ServiceError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    codes = {kind.code: issubclass(kind, UpstreamError) for kind in kinds if "code" in vars(kind)}
    assert len(codes) > 18
    # More replicas do not raise a budget.
    codes |= dict.fromkeys((BudgetSpent.code, BudgetUnavailable.code), False)
    assert {code: bool(re.fullmatch(pattern, code)) for code in codes} == codes
