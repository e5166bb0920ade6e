"""The service is what `/openapi.json` says: asked by schemathesis, and answer by answer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.schemas import OpenApiSchema

from edge_service.sandbox.app import Sandbox
from edge_service.sandbox.faults import Fault
from edge_service.sealing import new_key
from tests.service.conftest import KEY, ORIGIN, StartService

EXAMPLES = int(os.environ.get("OPENAPI_EXAMPLES", "15"))


def loaded(base: str, **checks: object) -> OpenApiSchema:
    config = SchemathesisConfig.from_dict(
        {
            "generation": {"max-examples": EXAMPLES, "deterministic": True, "database": "none"},
            "checks": checks,
        }
    )
    return schemathesis.openapi.from_url(f"{base}/openapi.json", config=config)


@pytest.fixture(params=["plain", "sealed", "forwarded"])
def described(request, start_service: StartService, sandbox_url: str, tmp_path: Path) -> OpenApiSchema:
    variables = {"RATE_LIMIT": "999999/second"}
    service = start_service(sandbox_url, **variables)
    return loaded(service.base)


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        yield session

N=[0]
import collections
S=collections.Counter()
@schemathesis.pytest.from_fixture("described").parametrize()
def test_x(case, session) -> None:
    N[0]+=1
    r=case.call_and_validate(session=session)
    S[case.method,case.path,r.status_code]+=1


def test_z():
    print(N, S)
