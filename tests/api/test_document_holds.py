"""Schemathesis walks the whole document: no answer breaks it, and nothing it sends is our fault."""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from newsletter.api import auth
from newsletter.ratelimit import limiter

#: Raised in CI's long run; a developer waits for a few.
EXAMPLES = int(os.environ.get("API_EXAMPLES", "15"))


@pytest.fixture
def engine() -> str:
    return "sqlite"


@pytest.fixture
def filled(app, make_list, make_subscriber, make_campaign):
    """Something of each kind, so that not every answer is 404."""
    mailing_list = make_list("oma")
    make_subscriber(lists=[mailing_list])
    make_campaign([mailing_list])


@pytest.mark.timeout(300)
def test_no_request_breaks_the_document(app, client, filled, make_token):
    schema = schemathesis.openapi.from_dict(client.get("/api/v1/openapi.json").json)
    schema.app = app
    headers = {"Authorization": f"Bearer {make_token()}"}
    checks = [
        not_a_server_error,
        status_code_conformance,
        content_type_conformance,
        response_schema_conformance,
    ]
    seen = set()

    for operation in schema.get_all_operations():
        # A short strategy each, so that no endpoint is left out.
        @settings(
            max_examples=EXAMPLES,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.ok().as_strategy())
        def holds(case):
            limiter.clear_counts(auth.TOKEN_RATE_LIMIT, "token", "1")
            response = case.call(headers=headers)
            seen.add((case.method, case.path, response.status_code < 400))
            case.validate_response(response, checks=checks, headers=headers)

        holds()

    assert len({(method, path) for method, path, _good in seen}) == 22
    # Not everything it tried was refused.
    assert {("GET", "/api/v1/lists", True), ("GET", "/api/v1/campaigns", True)} <= seen
