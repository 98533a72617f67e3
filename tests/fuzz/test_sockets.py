"""The inputs of `test_routes.py`, sent over real sockets to a `chalice local` process."""

import http.client
import os

import pytest
from hypothesis import HealthCheck, given, settings

from infra.commands import token
from local import dynamodb, stack, supervisor
from tests.e2e.live_stack import bare_environ
from tests.fuzz.inputs import Input, inputs
from tests.fuzz.oracle import check
from tests.fuzz.sender import add_credentials, tokens_by

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_800)]

UNUSED_URL = "http://127.0.0.1:1"
"""No server listens here, so routes that call TaskRouter return 503 at once."""


@pytest.fixture(scope="module")
def service():
    """The API and its DynamoDB, without TaskRouter."""
    described = stack.describe(bare_environ())
    with supervisor.running(described, {"api": {"TWILIO_TASKROUTER_URL": UNUSED_URL}}) as running:
        yield described, running


def test_any_input_over_sockets_gets_a_valid_response(service):
    described, running = service
    key = token.read_api_key(described.settings)

    def mint(role, **options):
        worker = options.get("worker_sid")
        hours = -1 if options.get("ttl", 1) < 0 else 1
        api_key = token.ApiKey(key.sid, options.get("secret", key.secret))
        return token.create_token(
            described.settings, api_key, role=role, worker_sid=worker, hours=hours
        )

    by_identity = tokens_by(mint)
    table = described.tables.reservations
    client = dynamodb.client(described.dynamodb_url, described.resolved)

    @settings(
        max_examples=int(os.environ.get("CHAOS_INPUTS", "10000")) // 10,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(inputs().filter(lambda drawn: drawn.signature != "right"))
    def send(drawn: Input) -> None:
        request = add_credentials(drawn, by_identity, described.settings.public_base_url)
        connection = http.client.HTTPConnection("127.0.0.1", described.port("API_PORT"), timeout=20)
        try:
            connection.request(drawn.method, drawn.path, drawn.body or None, request.headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status == 503 and drawn.is_verified:
            assert b"TaskRouterUnavailable" in body or b"OutcomeUnknown" in body
        elif drawn.method != "HEAD":
            check(request, answer.status, dict(answer.getheaders()), body)

    send()

    assert client.scan(TableName=table, Select="COUNT")["Count"] == 0, (
        "no request had a valid signature"
    )
    printed = running.processes["api"].output()
    assert running.processes["api"].popen.poll() is None
    # `chalice local` prints a traceback when a client disconnects; none may involve the app.
    assert "/chalicelib/" not in printed
    assert '"event": "crash"' not in printed
    assert described.settings.twilio_auth_token not in printed
