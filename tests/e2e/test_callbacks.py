"""Assignment callbacks sent over HTTP are verified, and duplicates are recorded once."""

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from twilio.request_validator import RequestValidator

from tests.e2e.live_stack import bare_environ, live_stack

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def live():
    with live_stack(bare_environ()) as running:
        yield running


@pytest.fixture
def callback(live):
    """The parameters of a callback for a new Reservation."""
    sids = {
        f"{name}Sid": prefix + secrets.token_hex(16)
        for name, prefix in (
            ("Reservation", "WR"),
            ("Task", "WT"),
            ("Worker", "WK"),
            ("TaskQueue", "WQ"),
        )
    }
    return sids | {
        "AccountSid": live.identifiers["account_sid"],
        "WorkspaceSid": live.identifiers["workspace_sid"],
        "WorkflowSid": live.identifiers["workflow_sid"],
        "TaskAttributes": '{"selected_language": "es"}',
        "WorkerAttributes": '{"languages": ["en", "es"]}',
        "TaskAge": "1",
        "TaskPriority": "0",
    }


def post(live, form, signature):
    headers = {} if signature is None else {"X-Twilio-Signature": signature}
    return requests.post(
        f"{live.definition.api_url}/assignment_callback", data=form, headers=headers, timeout=30
    )


def sign(live, form, token=None):
    url = f"{live.definition.api_url}/assignment_callback"
    return RequestValidator(token or live.identifiers["auth_token"]).compute_signature(url, form)


def test_callbacks_with_invalid_signatures_are_refused_and_not_recorded(live, callback):
    from_other_account = sign(live, callback, token="auth token of another account")
    for_other_request = sign(live, callback | {"TaskAge": "2"})

    signatures = (None, "", "junk", "\x7f" * 9, from_other_account, for_other_request)
    responses = [post(live, callback, signature) for signature in signatures]

    assert [response.status_code for response in responses] == [403] * 6
    response = live.app.get(f"/reservations/{callback['ReservationSid']}")
    assert response.status == 404


def test_ten_simultaneous_duplicates_create_one_record_and_get_equal_responses(live, callback):
    signature = sign(live, callback)
    barrier = threading.Barrier(10)

    def send(_):
        barrier.wait()
        return post(live, callback, signature)

    with ThreadPoolExecutor(10) as pool:
        responses = list(pool.map(send, range(10)))

    assert {response.status_code for response in responses} == {200}
    assert {response.headers["Content-Type"].partition(";")[0] for response in responses} == {
        "application/json"
    }
    assert {response.text for response in responses} == {"{}"}
    page = live.app.get("/reservations", {"worker_sid": callback["WorkerSid"]}).body
    (record,) = page["reservations"]
    assert record["callback"] == callback
    assert len(record["history"]) == 1


def test_undocumented_parameter_is_verified_and_recorded(live, callback):
    form = callback | {"NewParameter": "ünïcode & +%"}

    response = post(live, form, sign(live, form))

    assert response.status_code == 200
    assert live.fetch_record(form["ReservationSid"])["callback"]["NewParameter"] == "ünïcode & +%"
