"""The same inputs over real sockets to a `chalice local` process."""

import http.client
import os

import pytest
from hypothesis import HealthCheck, given, settings

from infra.commands import token
from local import dynamodb, stack, supervisor
from tests.e2e.live_stack import bare_environ
from tests.fuzz.inputs import Input, inputs
from tests.fuzz.oracle import check
from tests.fuzz.sender import sent, tokens_by

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1_800)]

AWAY = "http://127.0.0.1:1"
"""Unused address: routes that call TaskRouter return 503 at once."""


@pytest.fixture(scope="module")
def service():
    """The API and its DynamoDB, without TaskRouter."""
    described = stack.describe(bare_environ())
    with supervisor.running(described, {"api": {"TWILIO_TASKROUTER_URL": AWAY}}) as running:
        yield described, running


def test_any_input_over_sockets_gets_a_valid_response(service):
    described, running = service
    key = token.read_api_key(described.settings)

    def mint(role, **given):
        worker = given.get("worker_sid")
        hours = -1 if given.get("ttl", 1) < 0 else 1
        own = token.ApiKey(key.sid, given.get("secret", key.secret))
        return token.create_token(
            described.settings, own, role=role, worker_sid=worker, hours=hours
        )

    by_identity = tokens_by(mint)
    table = described.tables.reservations
    client = dynamodb.client("dynamodb", described.dynamodb_url, described.resolved)

    @settings(
        max_examples=int(os.environ.get("CHAOS_INPUTS", "10000")) // 10,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(inputs().filter(lambda one: one.signature != "right"))
    def send(one: Input) -> None:
        complete = sent(one, by_identity, described.settings.public_base_url)
        connection = http.client.HTTPConnection("127.0.0.1", described.port("API_PORT"), timeout=20)
        try:
            connection.request(one.method, one.path, one.body or None, complete.headers)
            answer = connection.getresponse()
            body = answer.read()
        finally:
            connection.close()
        if answer.status == 503 and one.is_verified:
            assert b"TaskRouterUnavailable" in body or b"OutcomeUnknown" in body
        elif one.method != "HEAD":
            check(complete, answer.status, dict(answer.getheaders()), body)

    send()

    assert client.scan(TableName=table, Select="COUNT")["Count"] == 0, "nobody has signed"
    printed = running.processes["api"].output()
    assert running.processes["api"].popen.poll() is None
    # `chalice local` prints a traceback when a client disconnects; none may be from our code.
    assert "/chalicelib/" not in printed
    assert '"event": "crash"' not in printed
    assert described.settings.twilio_auth_token not in printed
