"""Whatever the description allows, and what it does not: never a fault of the server, and answers as described.

``PALATE_FUZZ`` is how many requests are made up for each route (default 8; ``benchmarks/serving_fuzz.py`` makes more).
"""

import os

import pytest

schemathesis = pytest.importorskip("schemathesis")

from hypothesis import HealthCheck, settings  # noqa: E402
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.specs.openapi.checks import (  # noqa: E402
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.testclient import TestClient  # noqa: E402

from palate.serving.api.app import Settings, create_app  # noqa: E402

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def described(runs, tmp_path_factory):
    app = create_app(Settings(str(runs("knn")), str(tmp_path_factory.mktemp("state")), rate=0, page=False))
    with TestClient(app):
        yield schemathesis.openapi.from_asgi("/openapi.json", app)


routes = schemathesis.pytest.from_fixture("described")


@routes.parametrize()
@settings(
    max_examples=int(os.environ.get("PALATE_FUZZ", "8")),
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_no_request_is_a_fault_of_ours(case):
    case.call_and_validate(checks=CHECKS)
