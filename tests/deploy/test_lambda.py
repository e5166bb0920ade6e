"""The token service as a Lambda function, with events as AWS documents them.

They follow the examples in the developer guides of AWS Lambda ("Invoking Lambda function URLs") and
of Amazon API Gateway ("Create AWS Lambda proxy integrations for HTTP APIs", "Lambda proxy
integrations in API Gateway"), with documentation addresses. No test here runs on AWS.
"""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml

from edge_service.sandbox.app import Sandbox, create_sandbox
from edge_service.sandbox.faults import Fault
from tests.support.processes import SCRIPTS
from tests.support.redis import RedisServer
from tests.support.servers import KeptConnections, serving
from tests.support.settings import KEY, ORIGIN
from tests.support.waiting import until

CANARY = "canary-refresh-6e19"
VISITOR, SPOOFED = "192.0.2.7", "203.0.113.50"
# What Lambda does with a handler: import it, then call it with one event after the other.
RUNTIME = """
import asyncio, json, sys
sys.path.insert(0, sys.argv[1])
import handler
print("READY", flush=True)
for line in sys.stdin:
    try:
        answer = handler.handler(json.loads(line), None)
    except ValueError as error:
        answer = {"raised": str(error)}
    answer["tasks"] = len(asyncio.all_tasks(handler.loop))
    print("ANSWER", json.dumps(answer), flush=True)
"""
# A stand-in for AWS' own module, which knows one secret.
BOTO3 = """
class _Client:
    def get_secret_value(self, SecretId):
        assert SecretId == "arn:aws:secretsmanager:eu-central-1:123456789012:secret:avatar"
        return {"SecretString": %r}
def client(name):
    assert name == "secretsmanager"
    return _Client()
"""


def function_url(path: str, method: str, query: str, headers: dict[str, str]) -> dict[str, Any]:
    """Payload format 2.0, of a function URL."""
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "cookies": ["first=1", "second=2"],
        "headers": {
            "x-amzn-trace-id": "Root=1-00000000-000000000000000000000000",
            "x-forwarded-proto": "https",
            "x-forwarded-port": "443",
            "x-forwarded-for": SPOOFED,
            "host": "url-id.lambda-url.us-west-2.on.aws",
            "accept": "*/*",
            **{name.lower(): value for name, value in headers.items()},
        },
        "queryStringParameters": {name: ",".join(v) for name, v in parse_qs(query).items()},
        "requestContext": {
            "accountId": "anonymous",
            "apiId": "url-id",
            "authentication": None,
            "domainName": "url-id.lambda-url.us-west-2.on.aws",
            "domainPrefix": "url-id",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": VISITOR,
                "userAgent": "agent",
            },
            "requestId": "id",
            "routeKey": "$default",
            "stage": "$default",
            "time": "12/Mar/2020:19:03:58 +0000",
            "timeEpoch": 1583348638390,
        },
        "isBase64Encoded": False,
    }


def http_api(path: str, method: str, query: str, headers: dict[str, str]) -> dict[str, Any]:
    """Payload format 2.0, of an HTTP API with the default stage."""
    event = function_url(path, method, query, headers)
    event["requestContext"] |= {"accountId": "123456789012", "apiId": "api-id"}
    event["requestContext"]["domainName"] = "id.execute-api.us-east-1.amazonaws.com"
    event["pathParameters"] = None
    event["stageVariables"] = {}
    return event


def rest_api(path: str, method: str, query: str, headers: dict[str, str]) -> dict[str, Any]:
    """Payload format 1.0, of a REST API."""
    sent = {"Host": "id.execute-api.us-east-1.amazonaws.com", "X-Forwarded-For": SPOOFED, **headers}
    parameters = parse_qs(query)
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": sent,
        "multiValueHeaders": {name: [value] for name, value in sent.items()},
        "queryStringParameters": {name: v[-1] for name, v in parameters.items()} or None,
        "multiValueQueryStringParameters": parameters or None,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "id",
            "httpMethod": method,
            "identity": {"sourceIp": VISITOR, "userAgent": "agent", "user": None},
            "path": f"/prod{path}",
            "protocol": "HTTP/1.1",
            "requestId": "id",
            "resourcePath": "/{proxy+}",
            "stage": "prod",
        },
        "pathParameters": {"proxy": path.removeprefix("/")},
        "stageVariables": None,
        "body": None,
        "isBase64Encoded": False,
    }


def http_api_1(path: str, method: str, query: str, headers: dict[str, str]) -> dict[str, Any]:
    """Payload format 1.0, of an HTTP API."""
    return {"version": "1.0", **rest_api(path, method, query, headers)}


Shape = Callable[[str, str, str, dict[str, str]], dict[str, Any]]
SHAPES = [function_url, http_api, rest_api, http_api_1]


class Function:
    """An instance of the function, in its own process."""

    def __init__(self, folder: Path, upstream: str, **variables: str) -> None:
        good = {"AVATAR_API_KEY": KEY, "ALLOWED_ORIGINS": ORIGIN, "SENTIFYD_BACKEND": upstream}
        environ = {name: value for name, value in {**good, **variables}.items() if value}
        self._process = subprocess.Popen(
            [sys.executable, "-B", "-c", RUNTIME, str(folder)],
            env={"PATH": str(SCRIPTS), "PYTHONPATH": str(folder.parents[1]), **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._kept: list[str] = []
        try:
            self._line("READY")
        except AssertionError:
            self._process.communicate(timeout=20)
            raise

    def __enter__(self) -> Function:
        return self

    def __exit__(self, *_: object) -> None:
        rest = self._process.communicate(timeout=20)[0]
        output = "".join([*self._kept, rest])
        for unwanted in (KEY, CANARY, "Traceback"):
            assert unwanted not in output

    def __call__(self, event: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(event) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._line("ANSWER"))
        return answer

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def _line(self, beginning: str) -> str:
        assert self._process.stdout
        for line in self._process.stdout:
            if line.startswith(beginning):
                return line.removeprefix(beginning)
            self._kept.append(line)
        raise AssertionError("".join(self._kept))


def headers_of(answer: dict[str, Any]) -> dict[str, str]:
    joined = {name: ", ".join(v) for name, v in answer.get("multiValueHeaders", {}).items()}
    return {name.lower(): value for name, value in {**answer["headers"], **joined}.items()}


FROM_PAGE = {"Origin": ORIGIN}
TOKENS = "/request_tokens"


@pytest.fixture(scope="module")
def folder(root: Path) -> Path:
    return root / "deploy" / "lambda"


@pytest.fixture(scope="module")
def function(folder: Path, sandbox_url: str) -> Iterator[Function]:
    with Function(folder, sandbox_url, RATE_LIMIT="1000/minute") as function:
        yield function


@pytest.mark.parametrize("shape", SHAPES)
def test_function_returns_tokens(function: Function, sandbox: Sandbox, shape: Shape) -> None:
    before = sandbox.logins
    answer = function(shape(TOKENS, "GET", f"refreshToken={CANARY}%2B", FROM_PAGE))

    assert answer["statusCode"] == 200
    assert answer["isBase64Encoded"] is False
    assert json.loads(answer["body"])["tokens"]["accessToken"]
    headers = headers_of(answer)
    assert headers["content-type"] == "application/json"
    assert headers["access-control-allow-origin"] == ORIGIN
    assert headers["cache-control"] == "no-store"
    assert sandbox.logins == before + 1


@pytest.mark.parametrize("shape", SHAPES)
def test_errors_and_preflights_have_their_status(function: Function, shape: Shape) -> None:
    def status(path: str, method: str, query: str = "", **headers: str) -> tuple[int, str]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = function(shape(path, method, query, sent))
        body = json.loads(answer["body"]) if answer.get("body") else {}
        return answer["statusCode"], body.get("code", "")

    ask = {"Origin": ORIGIN, "Access_Control_Request_Method": "GET"}
    assert status(TOKENS, "OPTIONS", **ask) == (204, "")
    preflight = function(
        shape(TOKENS, "OPTIONS", "", {**FROM_PAGE, "Access-Control-Request-Method": "GET"})
    )
    assert headers_of(preflight)["access-control-allow-origin"] == ORIGIN
    evil = "https://evil.example.com"
    assert status(TOKENS, "GET", Origin=evil) == (403, "origin_not_allowed")
    assert status(TOKENS, "GET", Origin=f"{ORIGIN},{evil}") == (403, "origin_not_allowed")
    assert status(TOKENS, "DELETE", **FROM_PAGE) == (405, "method_not_allowed")
    assert status("/metrics", "GET") == (404, "not_found")
    assert status(f"{TOKENS}/nobody", "GET", **FROM_PAGE) == (404, "not_found")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("encoded", [True, False])
def test_bodies_are_decoded_and_limited(function: Function, shape: Shape, encoded: bool) -> None:
    def status(body: bytes) -> int:
        event = shape(TOKENS, "POST", "", {**FROM_PAGE, "Content-Type": "application/json"})
        event["isBase64Encoded"] = encoded
        event["body"] = base64.b64encode(body).decode() if encoded else body.decode()
        answer = function(event)
        assert "body" in answer
        return int(answer["statusCode"])

    assert status(json.dumps({"refreshToken": CANARY}).encode()) == 200
    assert status(b"{") == 400
    assert status(b"x" * 5000) == 413


@pytest.mark.parametrize("shape", SHAPES)
def test_rate_limit_uses_source_ip_from_aws(folder: Path, sandbox_url: str, shape: Shape) -> None:
    """A forged or changed X-Forwarded-For does not make a new visitor."""
    with Function(folder, sandbox_url, RATE_LIMIT="2/day") as function:
        statuses = [
            function(shape(TOKENS, "GET", "", {"X-Forwarded-For": f"203.0.113.{number}"}))
            for number in range(3)
        ]
        assert [answer["statusCode"] for answer in statuses] == [200, 200, 429]
        assert int(headers_of(statuses[2])["retry-after"]) > 0

        other = shape(TOKENS, "GET", "", {})
        context = other["requestContext"]
        context.get("http", context.get("identity"))["sourceIp"] = "192.0.2.8"
        assert function(other)["statusCode"] == 200


def test_load_balancer_event_is_rejected(function: Function) -> None:
    event = rest_api(TOKENS, "GET", "", FROM_PAGE)
    del event["resource"]
    event["requestContext"] = {"elb": {"targetGroupArn": "arn"}}

    assert function(event)["raised"].startswith("a load balancer sends a visitor's address only in")


def test_event_without_request_is_reported_in_one_line(function: Function) -> None:
    events: list[dict[str, Any]] = [{}, {"source": "aws.events"}, {"Records": []}]
    for event in events:
        raised = function(event)["raised"]
        assert raised.startswith("this event is not an HTTP request: call the function by its URL")
        assert "\n" not in raised


def test_function_answers_after_being_frozen(folder: Path, sandbox_url: str) -> None:
    with Function(folder, sandbox_url) as function:
        event = function_url(TOKENS, "GET", "", FROM_PAGE)
        for _ in range(2):
            assert function(event)["statusCode"] == 200
            function.send(signal.SIGSTOP)
            function.send(signal.SIGCONT)


def test_connection_that_closed_while_the_function_was_frozen_fails_no_login(folder: Path) -> None:
    with KeptConnections() as upstream, Function(folder, upstream.url) as function:
        event = function_url(TOKENS, "GET", "", FROM_PAGE)
        for _ in range(2):
            assert function(event)["statusCode"] == 200
            function.send(signal.SIGSTOP)
            upstream.close_connections()
            function.send(signal.SIGCONT)


@pytest.mark.thorough
def test_instances_share_a_grant(folder: Path, sandbox_url: str, sandbox: Sandbox) -> None:
    event = function_url(TOKENS, "GET", "", FROM_PAGE)
    with RedisServer() as redis:
        shared = {"TOKEN_POLICY": "shared", "REDIS_URL": redis.url, "RATE_LIMIT": "2/day"}
        before = sandbox.logins
        with (
            Function(folder, sandbox_url, **shared) as one,
            Function(folder, sandbox_url, **shared) as other,
        ):
            answers = [one(event), other(event), one(event)]

    assert [answer["statusCode"] for answer in answers] == [200, 200, 429]
    tokens = [json.loads(answer["body"])["tokens"]["accessToken"] for answer in answers[:2]]
    assert tokens[0] == tokens[1]
    assert sandbox.logins == before + 1


def test_function_finishes_renewal_before_it_returns(folder: Path) -> None:
    """The policy `shared` renews its grant after a response; the function waits for that."""
    brief = Sandbox(KEY, token_life=5)
    event = function_url(TOKENS, "GET", "", FROM_PAGE)
    shared = {"TOKEN_POLICY": "shared", "RATE_LIMIT": "999999/second"}
    with serving(create_sandbox(brief)) as url, Function(folder, url, **shared) as function:
        at_rest = function(event)["tasks"]
        brief.fault = Fault("delay", seconds=0.3)
        seen = set()

        def is_renewed() -> bool:
            seen.add(function(event)["tasks"])
            return brief.logins == 2

        until(is_renewed)

    assert seen == {at_rest}


@pytest.mark.parametrize(
    ("variables", "line"),
    [
        ({"TOKEN_POLICY": "pool"}, "TOKEN_POLICY pool logs in ahead of time"),
        ({"AVATAR_API_KEY": ""}, "AVATAR_API_KEY is not set: "),
    ],
)
def test_invalid_setting_is_reported_in_one_line(
    folder: Path, variables: dict[str, str], line: str
) -> None:
    with pytest.raises(AssertionError, match=f"^{line}") as caught:
        Function(folder, "http://127.0.0.1:1", **variables)

    assert str(caught.value).count("\n") == 1


def test_key_is_read_from_secrets_manager(folder: Path, sandbox_url: str, tmp_path: Path) -> None:
    """A stand-in replaces boto3, and knows the secret."""
    (tmp_path / "boto3.py").write_text(BOTO3 % f"{KEY}\n")
    arn = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:avatar"
    path = f"{folder.parents[1]}:{tmp_path}"
    secret = {"AVATAR_API_KEY": "", "AVATAR_API_KEY_SECRET": arn, "PYTHONPATH": path}
    with Function(folder, sandbox_url, **secret) as function:
        assert function(function_url(TOKENS, "GET", "", FROM_PAGE))["statusCode"] == 200


class _Tolerant(yaml.SafeLoader):
    """Loads YAML, and ignores CloudFormation's own tags."""


_Tolerant.add_multi_constructor("!", lambda loader, _, node: loader.construct_scalar(node))


def test_template_matches_the_handler(folder: Path) -> None:
    template = yaml.load((folder / "template.yaml").read_text(), _Tolerant)
    function = template["Resources"]["TokenService"]["Properties"]

    module, _, name = function["Handler"].partition(".")
    assert f"def {name}(" in (folder / f"{module}.py").read_text()
    assert "Cors" not in function["FunctionUrlConfig"]
    variables = function["Environment"]["Variables"]
    assert set(variables) == {"AVATAR_API_KEY_SECRET", "ALLOWED_ORIGINS", "TOKEN_POLICY"}
    assert variables["AVATAR_API_KEY_SECRET"] == "AvatarKeySecret"
    # A request may wait for a slot, log in, and renew a grant after the response.
    assert function["Timeout"] > 1 + 5 + (5 + 2)
