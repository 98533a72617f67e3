"""Random requests without valid signatures, sent over sockets to `chalice local`.

Responses to HEAD requests have no body and are not checked.
"""

import http.client
import os
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings

from local import dynamodb, stack, supervisor
from tests.e2e.live_stack import bare_environ
from tests.fuzz.inputs import Input, inputs
from tests.fuzz.oracle import check_response
from tests.fuzz.sender import add_credentials, create_authorizations
from tests.routes.conftest import create_token

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_800)]

UNUSED_URL = "http://127.0.0.1:1"
"""No server listens at this address, so routes that call TaskRouter return 503 immediately."""


@pytest.fixture(scope="module")
def service():
    """A local stack whose API cannot reach TaskRouter."""
    local_stack = stack.describe(bare_environ())
    with supervisor.running(
        local_stack, {"api": {"TWILIO_TASKROUTER_URL": UNUSED_URL}}
    ) as supervised:
        yield local_stack, supervised


def test_input_without_a_valid_signature_gets_a_valid_response(service):
    local_stack, supervised = service
    authorizations = create_authorizations(partial(create_token, local_stack.resolved))
    table = local_stack.tables.reservations
    client = dynamodb.client(local_stack.dynamodb_url)

    @settings(
        max_examples=int(os.environ.get("CHAOS_INPUTS", "10000")) // 10,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(inputs().filter(lambda drawn: drawn.signature != "valid"))
    def send(drawn: Input) -> None:
        base_url = local_stack.settings.public_base_url
        request = add_credentials(drawn, authorizations, base_url)
        connection = http.client.HTTPConnection(
            "127.0.0.1", local_stack.port("API_PORT"), timeout=20
        )
        try:
            connection.request(drawn.method, drawn.path, drawn.body or None, request.headers)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status == 503 and drawn.is_verified:
            assert b"TaskRouterNotSent" in body
        elif drawn.method != "HEAD":
            check_response(request, response.status, dict(response.getheaders()), body)

    send()

    assert client.scan(TableName=table, Select="COUNT")["Count"] == 0, (
        "a callback without a valid signature was recorded"
    )
    output = supervised.processes["api"].output()
    assert supervised.processes["api"].popen.poll() is None
    # `chalice local` prints tracebacks when clients disconnect, so look for the app's code only.
    assert "/chalicelib/" not in output
    assert '"event": "crash"' not in output
    assert local_stack.settings.twilio_auth_token not in output
