"""Routes that accept, reject, complete and read a Reservation, and GET /health."""

import pytest

from chalicelib.domain.reservations import Status
from tests.routes.conftest import FORM, Api, reserve
from tests.support import sid

WR = "WR" + "0" * 32


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", None),
        (b"", FORM),
        (b"{}", "application/json"),
        (b"", "application/json"),
        (b"", "application/octet-stream"),
    ],
)
def test_accept_returns_reservation_task_and_worker(
    api: Api, body: bytes, content_type: str | None
) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}/accept"

    response = api.call("POST", path, body=body, content_type=content_type)

    assert response.status_code == 200
    assert response.json_body == {
        "reservation_sid": remote.reservation_sid,
        "task_sid": remote.task_sid,
        "worker_sid": remote.worker_sid,
        "worker_name": "Alice",
        "reservation_status": "accepted",
    }
    assert api.call("POST", path).json_body == response.json_body
    assert api.taskrouter.calls["update"] == 1


def test_reject_returns_400_for_an_invalid_activity_sid(api: Api) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}/reject"

    assert api.post_json(path, {"activity_sid": "WA1"}).status_code == 400
    response = api.post_json(path, {"activity_sid": sid("WA")})
    assert response.json_body["reservation_status"] == "rejected"


def test_complete_needs_an_accepted_reservation(api: Api) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}"
    refused = api.call("POST", f"{path}/complete")
    assert (refused.status_code, refused.json_body["reservation_status"]) == (409, "pending")

    api.call("POST", f"{path}/accept")
    for _ in range(2):
        response = api.call("POST", f"{path}/complete")
        assert (response.status_code, response.json_body["reservation_status"]) == (
            200,
            "completed",
        )
    assert api.taskrouter.calls["update"] == 2
    record = api.call("GET", path).json_body
    assert [change["to"] for change in record["history"]] == ["pending", "accepted", "completed"]


def test_late_accept_returns_409_with_the_status(api: Api) -> None:
    remote = reserve(api)
    api.taskrouter.set_status(remote.reservation_sid, Status.TIMEOUT)

    response = api.call("POST", f"/reservations/{remote.reservation_sid}/accept")
    assert response.status_code == 409
    assert response.json_body == {
        "Code": "ReservationNotPending",
        "Message": "The Reservation's status is timeout.",
        "reservation_status": "timeout",
    }


def test_accepting_a_deleted_reservation_returns_410_and_records_the_status_gone(api: Api) -> None:
    remote = reserve(api)
    api.taskrouter.remove(remote.reservation_sid)
    path = f"/reservations/{remote.reservation_sid}"

    assert api.call("POST", f"{path}/accept").status_code == 410
    assert api.call("GET", path).json_body["status"] == "gone"


@pytest.mark.usefixtures("tutorial")
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("parameters", ["both SIDs", "task_sid", "reservation_sid"])
def test_quickstart_accept_returns_the_accepted_reservation(
    api: Api, method: str, parameters: str
) -> None:
    remote = reserve(api)
    query = {
        "both SIDs": f"task_sid={remote.task_sid}&reservation_sid={remote.reservation_sid}",
        "task_sid": f"task_sid={remote.task_sid}",
        "reservation_sid": f"reservation_sid={remote.reservation_sid}",
    }[parameters]

    response = api.call(method, f"/accept_reservation?{query}")
    assert response.status_code == 200
    assert response.json_body["worker_name"] == "Alice"
    assert response.json_body["reservation_status"] == "accepted"
    repeated = api.call(method, f"/accept_reservation?{query}")
    assert (repeated.status_code, repeated.json_body) == (200, response.json_body)


def test_quickstart_accept_needs_a_sid(api: Api) -> None:
    response = api.call("POST", "/accept_reservation")
    assert response.status_code == 400
    assert "task_sid" in response.json_body["Message"]


def test_accepting_a_task_without_a_pending_or_accepted_reservation_returns_404(api: Api) -> None:
    remote = reserve(api)
    api.taskrouter.set_status(remote.reservation_sid, Status.REJECTED)
    assert api.call("POST", f"/accept_reservation?task_sid={remote.task_sid}").status_code == 404


def test_only_a_reserved_worker_can_accept_one_of_several_reservations_by_task_sid(
    api: Api,
) -> None:
    task_sid = sid("WT")
    first, _ = reserve(api, task_sid=task_sid), reserve(api, task_sid=task_sid)
    path = f"/accept_reservation?task_sid={task_sid}"

    assert api.call("POST", path).status_code == 400
    other_worker = api.token("worker", worker_sid=sid("WK"))
    assert api.call("POST", path, token=other_worker).status_code == 403
    own_worker = api.token("worker", worker_sid=first.worker_sid)
    assert (
        api.call("POST", path, token=own_worker).json_body["reservation_sid"]
        == first.reservation_sid
    )


@pytest.mark.parametrize(
    "path",
    [
        "/reservations/nonsense",
        "/reservations/WR%00",
        f"/reservations/{'WR' + 'g' * 32}",
    ],
)
def test_malformed_sid_returns_400(api: Api, path: str) -> None:
    assert api.call("GET", path).status_code == 400


def test_unknown_reservation_returns_404(api: Api) -> None:
    assert api.call("GET", f"/reservations/{WR}").status_code == 404
    assert api.call("POST", f"/reservations/{WR}/accept").status_code == 404


def test_record_contains_its_history(api: Api) -> None:
    remote = reserve(api)
    api.clock.now += 1_500
    api.call("POST", f"/reservations/{remote.reservation_sid}/accept")

    record = api.call("GET", f"/reservations/{remote.reservation_sid}").json_body
    assert record["reserved_at"] == "2026-09-21T14:13:20.000Z"
    assert record["expires_at"] == "2026-09-21T14:15:20.000Z"
    assert record["accepted_by"] == "supervisor"
    assert record["history"] == [
        {
            "at": "2026-09-21T14:13:20.000Z",
            "from": None,
            "to": "pending",
            "by": "assignment_callback",
            "note": None,
        },
        {
            "at": "2026-09-21T14:13:21.500Z",
            "from": "pending",
            "to": "accepted",
            "by": "supervisor",
            "note": None,
        },
    ]


def test_health_needs_no_token_and_returns_the_version(api: Api) -> None:
    response = api.call("GET", "/health", token=None)
    assert response.status_code == 200
    assert response.json_body["status"] == "ok"
    assert response.json_body["version"].count(".") == 2
