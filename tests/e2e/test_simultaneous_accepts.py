"""Fifty callers accept the same Reservation at the same moment."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.e2e.proxy import proxy_of
from tests.e2e.world import bare_environ, eventually, world

pytestmark = pytest.mark.slow

CALLERS = 50


def bodies(number):
    """By turns a form, JSON, and nothing at all."""
    return [
        {"data": {"note": "from a form"}},
        {"json": {"note": "from JSON"}},
        {"data": "", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {},
    ][number % 4]


def test_taskrouter_gets_one_update_and_all_fifty_learn_the_outcome():
    environ = bare_environ()
    simulator = f"http://127.0.0.1:{environ['SIMULATOR_PORT']}"
    with (
        proxy_of(simulator) as proxy,
        world(environ, {"api": {"TWILIO_TASKROUTER_URL": proxy.url}}) as here,
    ):
        reservation = here.pending_reservation()
        url = f"{here.described.api_url}/reservations/{reservation['reservation_sid']}/accept"
        authorization = here.app.headers["Authorization"]
        together = threading.Barrier(CALLERS)

        def accept(number):
            request = bodies(number)
            headers = request.pop("headers", {}) | {"Authorization": authorization}
            together.wait()
            return requests.post(url, headers=headers, timeout=30, **request)

        with ThreadPoolExecutor(CALLERS) as pool:
            answers = list(pool.map(accept, range(CALLERS)))

        assert [answer.status_code for answer in answers] == [200] * CALLERS
        assert {answer.json()["reservation_status"] for answer in answers} == {"accepted"}
        assert len(proxy.updates) == 1
        assert here.task(reservation["task_sid"])["assignment_status"] == "assigned"
        record = here.record(reservation["reservation_sid"])
        assert [change["to"] for change in record["history"]] == ["pending", "accepted"]
        assert eventually(lambda: here.activity_of_alice() == "Busy")
