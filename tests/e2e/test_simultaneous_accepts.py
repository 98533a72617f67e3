"""Fifty clients accept the same Reservation at the same time."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.e2e.live_stack import bare_environ, eventually, live_stack
from tests.e2e.proxy import run_proxy

pytestmark = pytest.mark.slow

CLIENTS = 50


def request_arguments(number, task_sid):
    """Return arguments for a form, a JSON body or no body, depending on the client's number."""
    return [
        {"data": {"task_sid": task_sid}},
        {"json": {"task_sid": task_sid}},
        {"data": "", "headers": {"Content-Type": "application/x-www-form-urlencoded"}},
        {},
    ][number % 4]


def test_taskrouter_gets_one_update_and_all_fifty_clients_get_the_outcome():
    environ = bare_environ()
    simulator = f"http://127.0.0.1:{environ['SIMULATOR_PORT']}"
    with (
        run_proxy(simulator) as proxy,
        live_stack(environ, {"api": {"TWILIO_TASKROUTER_URL": proxy.url}}) as live,
    ):
        reservation = live.create_pending_reservation()
        url = f"{live.definition.api_url}/reservations/{reservation['reservation_sid']}/accept"
        authorization = live.app.headers["Authorization"]
        barrier = threading.Barrier(CLIENTS)

        def accept(number):
            request = request_arguments(number, reservation["task_sid"])
            headers = request.pop("headers", {}) | {"Authorization": authorization}
            barrier.wait()
            return requests.post(url, headers=headers, timeout=30, **request)

        with ThreadPoolExecutor(CLIENTS) as pool:
            responses = list(pool.map(accept, range(CLIENTS)))

        assert [response.status_code for response in responses] == [200] * CLIENTS
        assert {response.json()["reservation_status"] for response in responses} == {"accepted"}
        assert len(proxy.updates) == 1
        assert live.fetch_task(reservation["task_sid"])["assignment_status"] == "assigned"
        record = live.fetch_record(reservation["reservation_sid"])
        assert [change["to"] for change in record["history"]] == ["pending", "accepted"]
        assert eventually(lambda: live.activity_of_alice() == "Busy")
