"""Requests that the OpenAPI description allows, and others: no server error, and responses as described.

``PALATE_FUZZ`` is the number of requests for each endpoint (default 8; ``benchmarks/serving_fuzz.py`` makes more).
"""

import os

import pytest

schemathesis = pytest.importorskip("schemathesis")

from fastapi import FastAPI  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient  # noqa: E402

from palate.serving.api.app import Settings, create_app  # noqa: E402
from palate.serving.api.endpoints import router  # noqa: E402

EXAMPLES = int(os.environ.get("PALATE_FUZZ", "8"))
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def described(runs, tmp_path_factory):
    app = create_app(Settings(str(runs("knn")), str(tmp_path_factory.mktemp("state")), rate=0, page=False))
    with TestClient(app):
        yield schemathesis.openapi.from_asgi("/openapi.json", app)


def routes():
    app = FastAPI()
    app.include_router(router)
    return [(method, path) for path, item in app.openapi()["paths"].items() for method in item]


@pytest.mark.parametrize("method, path", routes())
def test_no_request_causes_a_server_error(described, method, path):
    route = described[path][method]
    cases = [route.as_strategy(generation_mode=mode) for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)]

    @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.one_of(cases))
    def answered(case):
        case.call_and_validate(checks=CHECKS)

    answered()
