"""An acceptance that reaches TaskRouter is recorded despite crashes and lost responses."""

import threading

import pytest
import requests

from tests.e2e.live_stack import bare_environ, eventually, live_stack
from tests.e2e.proxy import DisconnectError, run_proxy

pytestmark = pytest.mark.slow

LEASE_SECONDS = 2
REPAIR_SECONDS = 15
"""Maximum wait until a sweep records the acceptance. The lease lasts 2 s and a sweep starts every
second, but a busy machine is slower."""


@pytest.fixture
def proxied():
    """A running stack, and the proxy between its API and TaskRouter."""
    environ = bare_environ(CLAIM_LEASE_SECONDS=str(LEASE_SECONDS), SWEEP_EVERY_SECONDS="1")
    simulator = f"http://127.0.0.1:{environ['SIMULATOR_PORT']}"
    with run_proxy(simulator) as proxy:
        variables = {"TWILIO_TASKROUTER_URL": proxy.url}
        with live_stack(environ, {"api": variables}) as live:
            yield live, proxy


def accept(live, reservation):
    try:
        return live.app.post(f"/reservations/{reservation['reservation_sid']}/accept")
    except requests.ConnectionError:
        return None


def assert_accepted_once(live, proxy, reservation):
    sid = reservation["reservation_sid"]
    assert eventually(lambda: live.fetch_record(sid)["status"] == "accepted", within=REPAIR_SECONDS)
    assert [change["to"] for change in live.fetch_record(sid)["history"]] == ["pending", "accepted"]
    assert len(proxy.updates) == 1
    repeated = live.app.post(f"/reservations/{sid}/accept")
    assert (repeated.status, repeated.body["reservation_status"]) == (200, "accepted")
    assert len(proxy.updates) == 1
    assert live.fetch_task(reservation["task_sid"])["assignment_status"] == "assigned"


def test_sweep_records_acceptance_if_the_api_is_killed_before_recording_it(proxied):
    live, proxy = proxied
    reservation = live.create_pending_reservation()
    accepted, released = threading.Event(), threading.Event()

    def hold_response(request):
        if request.updates_reservation:
            accepted.set()
            released.wait(30)

    proxy.after = hold_response
    client = threading.Thread(target=accept, args=(live, reservation))
    client.start()
    assert accepted.wait(20)
    live.programs.processes["api"].kill()
    assert live.stored_status(reservation["reservation_sid"]) == "pending"
    released.set()
    client.join()

    api = live.definition.program("api")
    live.programs.start(api, live.definition.environ | {"TWILIO_TASKROUTER_URL": proxy.url})
    live.programs.wait_for(api)
    assert_accepted_once(live, proxy, reservation)


def test_acceptance_with_a_lost_response_is_verified_with_taskrouter_immediately(proxied):
    live, proxy = proxied
    reservation = live.create_pending_reservation()

    def drop_response(request):
        if request.updates_reservation:
            raise DisconnectError

    proxy.after = drop_response
    response = accept(live, reservation)

    assert (response.status, response.body["reservation_status"]) == (200, "accepted")
    assert_accepted_once(live, proxy, reservation)


def test_sweep_records_acceptance_if_the_api_can_no_longer_reach_taskrouter(proxied):
    live, proxy = proxied
    reservation = live.create_pending_reservation()
    unreachable = threading.Event()

    def drop_response(request):
        if request.updates_reservation:
            unreachable.set()
            raise DisconnectError

    def refuse_connection(request):
        if unreachable.is_set():
            raise DisconnectError

    proxy.before, proxy.after = refuse_connection, drop_response
    response = accept(live, reservation)

    assert response.status == 503
    assert live.stored_status(reservation["reservation_sid"]) == "pending"
    assert_accepted_once(live, proxy, reservation)
