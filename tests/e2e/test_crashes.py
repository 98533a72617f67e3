"""The API crashes or TaskRouter's response is lost after TaskRouter executed an accept."""

import threading

import pytest
import requests

from tests.e2e.live_stack import bare_environ, eventually, live_stack
from tests.e2e.proxy import CutError, run_proxy

pytestmark = pytest.mark.slow

LEASE_SECONDS = 2
REPAIR_SECONDS = 15
"""One lease plus one sweep is 3 seconds; the rest is a margin for a busy machine."""


@pytest.fixture
def proxied():
    """A stack and the proxy between its API and TaskRouter."""
    environ = bare_environ(CLAIM_LEASE_SECONDS=str(LEASE_SECONDS), SWEEP_EVERY_SECONDS="1")
    simulator = f"http://127.0.0.1:{environ['SIMULATOR_PORT']}"
    with run_proxy(simulator) as proxy:
        override = {"TWILIO_TASKROUTER_URL": proxy.url}
        with live_stack(environ, {"api": override}) as live:
            yield live, proxy


def accept(live, reservation):
    try:
        return live.app.post(f"/reservations/{reservation['reservation_sid']}/accept")
    except requests.ConnectionError:
        return None


def expect_accepted_once(live, proxy, reservation):
    sid = reservation["reservation_sid"]
    assert eventually(lambda: live.record(sid)["status"] == "accepted", within=REPAIR_SECONDS)
    assert [change["to"] for change in live.record(sid)["history"]] == ["pending", "accepted"]
    assert len(proxy.updates) == 1
    again = live.app.post(f"/reservations/{sid}/accept")
    assert (again.status, again.body["reservation_status"]) == (200, "accepted")
    assert len(proxy.updates) == 1
    assert live.task(reservation["task_sid"])["assignment_status"] == "assigned"


def test_sweep_repairs_an_accept_if_the_api_is_killed_before_its_write(proxied):
    live, proxy = proxied
    reservation = live.pending_reservation()
    accepted, released = threading.Event(), threading.Event()

    def hold(request):
        if request.updates_reservation:
            accepted.set()
            released.wait(30)

    proxy.after = hold
    caller = threading.Thread(target=accept, args=(live, reservation))
    caller.start()
    assert accepted.wait(20)
    live.programs.processes["api"].kill()
    assert live.stored_status(reservation["reservation_sid"]) == "pending"
    released.set()
    caller.join()

    api = live.definition.program("api")
    live.programs.start(api, live.definition.environ | {"TWILIO_TASKROUTER_URL": proxy.url})
    live.programs.wait_for(api)
    expect_accepted_once(live, proxy, reservation)


def test_lost_response_is_checked_at_taskrouter_immediately(proxied):
    live, proxy = proxied
    reservation = live.pending_reservation()

    def cut(request):
        if request.updates_reservation:
            raise CutError

    proxy.after = cut
    response = accept(live, reservation)

    assert (response.status, response.body["reservation_status"]) == (200, "accepted")
    expect_accepted_once(live, proxy, reservation)


def test_sweep_repairs_an_accept_when_taskrouter_becomes_unreachable(proxied):
    live, proxy = proxied
    reservation = live.pending_reservation()
    unreachable = threading.Event()

    def cut(request):
        if request.updates_reservation:
            unreachable.set()
            raise CutError

    def refuse(request):
        if unreachable.is_set():
            raise CutError

    proxy.before, proxy.after = refuse, cut
    response = accept(live, reservation)

    assert response.status == 503
    assert live.stored_status(reservation["reservation_sid"]) == "pending"
    expect_accepted_once(live, proxy, reservation)
