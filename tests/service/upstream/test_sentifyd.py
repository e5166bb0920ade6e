"""What is a grant: every field of Sentifyd's answer, with good and bad values."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from edge_service.strict_json import JSON
from edge_service.upstream.grant import Grant
from edge_service.upstream.sentifyd import TOKENS_SCHEMA, MalformedGrant, parse_grant, tokens_body
from tests.support.servers import RawUpstream, http_answer
from tests.support.service import StartService, assert_error, metric

CAMEL = {
    "access_token": "accessToken",
    "refresh_token": "refreshToken",
    "avatar_params": "avatarParameters",
    "token_type": "tokenType",
    "expires_in": "expiresIn",
}
COMPLETE: JSON = {
    "access_token": "a",
    "refresh_token": "r",
    "avatar_params": {"voice": "x"},
    "token_type": "Bearer",
    "expires_in": 3600,
}
ABSENT = object()
VALIDATOR = jsonschema_rs.Draft202012Validator(TOKENS_SCHEMA)


def parsed(**changes: object) -> Grant:
    fields = {**COMPLETE, **changes}
    return parse_grant({name: value for name, value in fields.items() if value is not ABSENT})


@pytest.mark.parametrize("value", [ABSENT, None, []], ids=["absent", "null", "list"])
def test_missing_parameters_are_an_empty_object(value: object) -> None:
    issued = parsed(avatar_params=value)

    assert (issued.avatar_parameters, issued.is_complete) == ({}, False)
    assert issued.access_token == "a"


def test_empty_parameters_that_sentifyd_sent_are_complete() -> None:
    issued = parsed(avatar_params={})

    assert (issued.avatar_parameters, issued.is_complete) == ({}, True)


@pytest.mark.parametrize("value", ["", "text", 0, 7, 1.5, True, False, [1], [None], [[]], [{}]])
def test_parameters_of_another_type_are_malformed(value: object) -> None:
    with pytest.raises(MalformedGrant, match="avatar_params is not an object"):
        parsed(avatar_params=value)


@pytest.mark.parametrize("name", ["access_token", "refresh_token"])
@pytest.mark.parametrize("value", [ABSENT, None, "", 0, 7, True, ["a"], {"a": "a"}])
def test_token_must_be_a_text(name: str, value: object) -> None:
    with pytest.raises(MalformedGrant, match=f"{name} is missing"):
        parsed(**{name: value})


@pytest.mark.parametrize("value", [ABSENT, None, "", 7, True, ["Bearer"], {}])
def test_token_type_that_is_no_text_is_dropped(value: object) -> None:
    assert parsed(token_type=value).token_type is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *((3600, 3600), ("3600", 3600), (3599.7, 3599), ("007", 7), (1, 1), (1.9, 1)),
        *((86_400 * 400, 86_400 * 400), ("9" * 15, 10**15 - 1)),
        *((value, None) for value in (ABSENT, None, 0, 0.9, -1, -0.5, "0", "-1", "", " 3600")),
        *((value, None) for value in ("3600.5", "1e3", "٣", "²", "9" * 5000, "soon", True, False)),
        *(([], None), ([3600], None), ({}, None)),
    ],
)
def test_lifetime_is_read_as_whole_seconds(value: object, seconds: int | None) -> None:
    found = parsed(expires_in=value).expires_in

    assert found == seconds
    assert isinstance(found, int | None)


@pytest.mark.parametrize("name", CAMEL)
def test_null_in_one_spelling_gives_way_to_the_other(name: str) -> None:
    value = COMPLETE[name]

    for one, other in ((None, value), (value, None)):
        assert parsed(**{name: one, CAMEL[name]: other}) == parsed()
    assert parsed(**{name: ABSENT, CAMEL[name]: value}) == parsed()
    assert parsed(**{CAMEL[name]: value}) == parsed()


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # No escape of a lone surrogate may break the answer.
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.fixed_dictionaries(
    {}, optional={name: ANYTHING for pair in CAMEL.items() for name in pair}
)
ALMOST = st.builds(lambda changes: {**COMPLETE, **changes}, FIELDS)


@given(st.one_of(ANYTHING, FIELDS, ALMOST, ALMOST.map(lambda fields: {"data": fields})))
def test_any_answer_is_a_valid_grant_or_malformed(answer: Any) -> None:  # noqa: ANN401 - any JSON
    try:
        issued = parse_grant(answer)
    except MalformedGrant:
        return
    body = json.loads(json.dumps(tokens_body(issued, issued.refresh_token), allow_nan=False))
    VALIDATOR.validate(body)


@pytest.mark.parametrize("policy", ["direct", "shared", "pool"])
def test_visitors_get_an_empty_object_and_the_operator_one_warning(
    start_service: StartService, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    monkeypatch.setattr("edge_service.issuing.pool.Pool.start", lambda _: None)
    reply = http_answer("200 OK", b'{"access_token": "a", "refresh_token": "r"}')
    with RawUpstream(lambda connection: connection.sendall(reply)) as upstream:
        with capture_logs() as logs:
            service = start_service(upstream.url, TOKEN_POLICY=policy)
            answers = [service.get() for _ in range(3)]
        logins = 1 if policy == "shared" else 3
        assert metric(service, "sentifyd_edge_incomplete_logins_total{") == logins

    for answer in answers:
        assert answer.status_code == 200
        assert answer.json() == {
            "tokens": {"accessToken": "a", "refreshToken": "r"},
            "avatarParameters": {},
        }
    warnings = [line for line in logs if line["log_level"] == "warning"]
    assert warnings == [
        {"event": "avatar_parameters_missing", "avatar": "", "log_level": "warning"}
    ]


def test_status_201_is_no_login(start_service: StartService) -> None:
    reply = http_answer("201 Created", json.dumps(COMPLETE).encode())
    with RawUpstream(lambda connection: connection.sendall(reply)) as upstream:
        assert_error(start_service(upstream.url).get(), 502, "upstream_malformed")
