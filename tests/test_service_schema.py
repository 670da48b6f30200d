"""The service answers as its OpenAPI document says."""

from __future__ import annotations

import warnings

import pytest
from hypothesis import HealthCheck, settings

from digit_recognizer.service import create_app, make_settings

with warnings.catch_warnings(action="ignore"):
    import schemathesis
    from schemathesis.specs.openapi.checks import positive_data_acceptance  # no schema says what a picture is

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # those of schemathesis
EXAMPLES = 15  # requests to each operation

app = create_app(make_settings(images=20, in_flight=1000, request_seconds=60, allow_host="testserver"))
with warnings.catch_warnings(action="ignore"):
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)


@schema.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_operation_answers_as_documented(case):
    case.call_and_validate(excluded_checks=[positive_data_acceptance])
