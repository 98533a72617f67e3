"""Random requests get valid responses; unverified requests reach no dependency."""

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings

from app import app
from chalicelib.domain.reservations import Status
from tests.fuzz.inputs import RESERVATIONS, TASKS, WORKERS, Input, inputs
from tests.fuzz.oracle import SECRETS, check_response
from tests.fuzz.sender import add_credentials, create_authorizations
from tests.routes.conftest import BASE_URL


class CountingClient:
    """A DynamoDB client that counts its calls."""

    def __init__(self, client):
        self._client = client
        self.calls = Counter()

    def __getattr__(self, name):
        function = getattr(self._client, name)

        def counted(**request):
            self.calls[name] += 1
            return function(**request)

        return counted


@pytest.fixture
def fuzz_target(tutorial, api):
    """The app, its DynamoDB client and Authorization headers.

    TaskRouter has Reservations in every open status, and some are recorded.
    """
    client = CountingClient(api.service.dynamodb)
    vars(api.service)["dynamodb"] = client
    authorizations = create_authorizations(api.token)
    statuses = [Status.PENDING, Status.PENDING, Status.PENDING, Status.ACCEPTED, Status.WRAPPING]
    for number, (sid, task) in enumerate(zip(RESERVATIONS, TASKS, strict=True)):
        api.taskrouter.add(
            statuses[number % len(statuses)],
            reservation_sid=sid,
            task_sid=task,
            worker_sid=WORKERS[number % len(WORKERS)],
        )
    for sid, task in zip(RESERVATIONS[:4], TASKS, strict=False):
        worker = api.taskrouter.reservations[sid].worker_sid
        parameters = api.callback_parameters(ReservationSid=sid, TaskSid=task, WorkerSid=worker)
        assert api.post_callback(parameters).status_code == 200
    return api, client, authorizations


def fuzz(fuzz_target, examples):
    """Send random requests; return the number of responses by method and status."""
    api, client, authorizations = fuzz_target
    counts = Counter()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(inputs())
    def send(drawn: Input) -> None:
        request = add_credentials(drawn, authorizations, BASE_URL)
        client.calls.clear()
        api.taskrouter.calls.clear()
        api.log.seek(0)
        api.log.truncate()

        response = api.http.request(
            drawn.method, drawn.path, headers=request.headers, body=drawn.body
        )

        counts[drawn.method, response.status_code] += 1
        check_response(request, response.status_code, response.headers, response.body)
        if not drawn.is_verified:
            assert not client.calls, "an unverified request reached DynamoDB"
            assert not api.taskrouter.calls, "an unverified request reached TaskRouter"
        _check_log(api.log.getvalue(), request)

    send()
    return counts


def _check_log(log, request):
    assert "Traceback" not in log
    for secret in (*SECRETS, request.headers.get("Authorization", SECRETS[0])[-20:]):
        assert secret not in log


def test_random_inputs_get_valid_responses(fuzz_target):
    counts = fuzz(fuzz_target, 500)
    assert {200, 400, 401, 403} <= {status for _, status in counts}


@pytest.mark.chaos
@pytest.mark.timeout(3_600)
def test_many_inputs_get_valid_responses(fuzz_target, capsys):
    counts = fuzz(fuzz_target, int(os.environ.get("CHAOS_INPUTS", "10000")))

    with capsys.disabled():
        by_status = Counter()
        for (_, status), count in counts.items():
            by_status[status] += count
        print(f"\n{counts.total()} inputs: {dict(sorted(by_status.items()))}")  # noqa: T201
    assert {200, 201, 204, 400, 401, 403, 404, 409, 413, 415} <= set(by_status)
    assert len(app.routes) >= 11
