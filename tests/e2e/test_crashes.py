"""The API dies, or TaskRouter's answer does not arrive, after TaskRouter has said yes."""

import threading

import pytest
import requests

from tests.e2e.proxy import CutError, proxy_of
from tests.e2e.world import bare_environ, eventually, world

pytestmark = pytest.mark.slow

LEASE_SECONDS = 2
HEALED_WITHIN = 15
"""One lease and one sweep, which are 3 seconds, on a machine that may be busy."""


@pytest.fixture
def broken():
    """A stack whose API, and nothing else, reaches TaskRouter through a proxy."""
    environ = bare_environ(CLAIM_LEASE_SECONDS=str(LEASE_SECONDS), SWEEP_EVERY_SECONDS="1")
    simulator = f"http://127.0.0.1:{environ['SIMULATOR_PORT']}"
    with proxy_of(simulator) as proxy:
        own = {"TWILIO_TASKROUTER_URL": proxy.url}
        with world(environ, {"api": own}) as here:
            yield here, proxy


def accept(here, reservation):
    try:
        return here.app.post(f"/reservations/{reservation['reservation_sid']}/accept")
    except requests.ConnectionError:
        return None


def expect_accepted_once(here, proxy, reservation):
    sid = reservation["reservation_sid"]
    assert eventually(lambda: here.record(sid)["status"] == "accepted", within=HEALED_WITHIN)
    assert [change["to"] for change in here.record(sid)["history"]] == ["pending", "accepted"]
    assert len(proxy.updates) == 1
    again = here.app.post(f"/reservations/{sid}/accept")
    assert (again.status, again.body["reservation_status"]) == (200, "accepted")
    assert len(proxy.updates) == 1
    assert here.task(reservation["task_sid"])["assignment_status"] == "assigned"


def test_the_api_killed_between_taskrouters_yes_and_our_write_is_healed_by_the_sweep(broken):
    here, proxy = broken
    reservation = here.pending_reservation()
    accepted, released = threading.Event(), threading.Event()

    def hold(request):
        if request.is_update_of_a_reservation:
            accepted.set()
            released.wait(30)

    proxy.after = hold
    caller = threading.Thread(target=accept, args=(here, reservation))
    caller.start()
    assert accepted.wait(20)
    here.running.processes["api"].kill()
    assert here.stored_status(reservation["reservation_sid"]) == "pending"
    released.set()
    caller.join()

    api = here.described.program("api")
    here.running.start(api, here.described.environ | {"TWILIO_TASKROUTER_URL": proxy.url})
    here.running.wait_for(api)
    expect_accepted_once(here, proxy, reservation)


def test_an_answer_that_is_cut_is_asked_about_at_once(broken):
    here, proxy = broken
    reservation = here.pending_reservation()

    def cut(request):
        if request.is_update_of_a_reservation:
            raise CutError

    proxy.after = cut
    answer = accept(here, reservation)

    assert (answer.status, answer.body["reservation_status"]) == (200, "accepted")
    expect_accepted_once(here, proxy, reservation)


def test_an_answer_that_is_cut_while_taskrouter_goes_away_is_healed_by_the_sweep(broken):
    here, proxy = broken
    reservation = here.pending_reservation()
    gone = threading.Event()

    def cut(request):
        if request.is_update_of_a_reservation:
            gone.set()
            raise CutError

    def refuse(request):
        if gone.is_set():
            raise CutError

    proxy.before, proxy.after = refuse, cut
    answer = accept(here, reservation)

    assert answer.status == 503
    assert here.stored_status(reservation["reservation_sid"]) == "pending"
    expect_accepted_once(here, proxy, reservation)
