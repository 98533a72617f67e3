"""TaskRouter's callbacks, as they come over HTTP: signed or not, once or ten times."""

import secrets
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from twilio.request_validator import RequestValidator

from tests.e2e.world import bare_environ, world

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def here():
    with world(bare_environ()) as running:
        yield running


@pytest.fixture
def callback(here):
    """A callback for a Reservation that only this test knows."""
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
        "AccountSid": here.names["account_sid"],
        "WorkspaceSid": here.names["workspace_sid"],
        "WorkflowSid": here.names["workflow_sid"],
        "TaskAttributes": '{"selected_language": "es"}',
        "WorkerAttributes": '{"languages": ["en", "es"]}',
        "TaskAge": "1",
        "TaskPriority": "0",
    }


def post(here, form, signature):
    headers = {} if signature is None else {"X-Twilio-Signature": signature}
    return requests.post(
        f"{here.described.api_url}/assignment_callback", data=form, headers=headers, timeout=30
    )


def sign(here, form, token=None):
    url = f"{here.described.api_url}/assignment_callback"
    return RequestValidator(token or here.names["auth_token"]).compute_signature(url, form)


def test_an_absent_a_junk_and_a_foreign_signature_are_403_and_nothing_is_recorded(here, callback):
    foreign = sign(here, callback, token="somebody else's")
    of_another = sign(here, callback | {"TaskAge": "2"})

    answers = [post(here, callback, s) for s in (None, "", "junk", "\x7f" * 9, foreign, of_another)]

    assert [answer.status_code for answer in answers] == [403] * 6
    recorded = here.app.get(f"/reservations/{callback['ReservationSid']}")
    assert recorded.status == 404


def test_ten_of_the_same_at_once_are_one_record_and_ten_equal_answers(here, callback):
    signature = sign(here, callback)
    together = threading.Barrier(10)

    def send(_):
        together.wait()
        return post(here, callback, signature)

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(send, range(10)))

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.headers["Content-Type"].partition(";")[0] for answer in answers} == {
        "application/json"
    }
    assert {answer.text for answer in answers} == {"{}"}
    listed = here.app.get("/reservations", {"worker_sid": callback["WorkerSid"]}).body
    (record,) = listed["reservations"]
    assert record["callback"] == callback
    assert len(record["history"]) == 1


def test_a_parameter_that_nobody_documented_is_signed_and_kept(here, callback):
    form = callback | {"Novelty": "ünïcode & +%"}

    answer = post(here, form, sign(here, form))

    assert answer.status_code == 200
    assert here.record(form["ReservationSid"])["callback"]["Novelty"] == "ünïcode & +%"
