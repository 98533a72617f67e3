"""Requests that accept a Reservation with an assignment instruction."""

from typing import Any

import pytest

from chalicelib.domain.reservations import Status, StatusUpdate
from tests.routes.conftest import Api, reserve
from tests.support import NOW, sid

DEQUEUE = {"instruction": "dequeue", "from": "+15556667777", "timeout": 30}


def test_accept_with_instruction_returns_202_while_ringing(api: Api) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}/accept"

    response = api.post_json(path, {**DEQUEUE, "task_sid": remote.task_sid})
    assert (response.status_code, response.json_body["reservation_status"]) == (202, "pending")
    repeated = api.post_json(path, DEQUEUE)
    assert (repeated.status_code, repeated.json_body) == (202, response.json_body)
    api.taskrouter.set_status(remote.reservation_sid, Status.ACCEPTED)
    api.service.store.record_status(
        remote.reservation_sid, StatusUpdate(Status.ACCEPTED, NOW, "event", None)
    )
    assert api.post_json(path, DEQUEUE).status_code == 200

    assert [instruction.answer for instruction in api.taskrouter.instructions] == [DEQUEUE]
    record = api.call("GET", f"/reservations/{remote.reservation_sid}")
    assert record.json_body["instruction_sent"] == {"by": "supervisor", "instruction": DEQUEUE}
    assert '"timeout":30}' in record.body.decode().replace(" ", "")


def test_password_is_sent_but_never_shown(api: Api) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}"
    instruction = {
        "instruction": "conference",
        "to": "sip:ann@example.com",
        "sip_auth_password": "x7!",
    }
    assert api.post_json(f"{path}/accept", instruction).status_code == 202

    (sent,) = api.taskrouter.instructions
    assert sent.answer == instruction
    for url in (path, "/reservations"):
        shown = api.call("GET", url).body.decode()
        assert "x7!" not in shown
        assert "sip:ann@example.com" in shown


def test_quickstart_route_refuses_an_instruction(api: Api) -> None:
    remote = reserve(api)
    body = {**DEQUEUE, "reservation_sid": remote.reservation_sid}

    response = api.post_json("/accept_reservation", body)
    assert (response.status_code, response.json_body["Code"]) == (400, "BadRequestError")
    assert api.taskrouter.calls["update"] == 0


def test_different_second_instruction_returns_409(api: Api) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}/accept"
    api.post_json(path, DEQUEUE)

    response = api.post_json(path, {**DEQUEUE, "timeout": 31})
    assert (response.status_code, response.json_body["Code"]) == (409, "InstructionAlreadySent")
    assert response.json_body["reservation_status"] == "pending"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            {"instruction": "accept"},
            "instruction must be one of dequeue, call, redirect, conference, or",
        ),
        ({"instruction": "reject"}, "instruction must be one of dequeue"),
        ({"instruction": "supervise"}, "instruction must be one of dequeue"),
        ({"instruction": ["dequeue"]}, "instruction must be one of dequeue"),
        ({"instruction": None}, "instruction must be one of dequeue"),
        ({"instruction": {"instruction": "dequeue"}}, "instruction must be one of dequeue"),
        ({"instruction": "call", "from": "+15556667777"}, "call needs url"),
        ({**DEQUEUE, "timeout": "30"}, "timeout must be"),
        ({**DEQUEUE, "timeout": 1000}, "timeout must be"),
        ({**DEQUEUE, "color": "red"}, "dequeue has no parameter color"),
        ({"instruction": "redirect", "call_sid": "CA1", "url": "x"}, "call_sid must be"),
    ],
)
def test_invalid_instruction_returns_400_and_sends_nothing(
    api: Api, body: dict[str, Any], message: str
) -> None:
    remote = reserve(api)
    response = api.post_json(f"/reservations/{remote.reservation_sid}/accept", body)

    assert (response.status_code, response.json_body["Code"]) == (400, "BadRequestError")
    assert response.json_body["Message"].startswith(message)
    assert api.taskrouter.instructions == []


def test_worker_cannot_ring_the_phone_of_another_worker(api: Api) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}/accept"

    other_token = api.token(role="worker", worker_sid=sid("WK"))
    assert api.post_json(path, DEQUEUE, token=other_token).status_code == 403
    own_token = api.token(role="worker", worker_sid=remote.worker_sid)
    assert api.post_json(path, DEQUEUE, token=own_token).status_code == 202
