"""Routes accept their documented parameters, but no others."""

from typing import Any

import pytest

from chalicelib.domain.reservations import Status
from tests.routes.conftest import ENVIRON, Api, reserve

WORKFLOW = ENVIRON["TWILIO_WORKFLOW_SID"]


def parameters_in_error(api: Api, path: str, parameters: dict[str, Any]) -> str:
    """Send an unknown parameter, and return the allowed parameters that the error lists."""
    response = api.post_json(path, {**parameters, "color": "red"})
    assert (response.status_code, response.json_body["Code"]) == (400, "BadRequestError")
    message: str = response.json_body["Message"]
    return message.removeprefix('There is no parameter "color". The parameters are: ')


def test_create_task_accepts_only_the_documented_parameters(api: Api) -> None:
    parameters = {
        "attributes": {"language": "en"},
        "priority": 3,
        "timeout": 60,
        "task_channel": "voice",
        "workflow_sid": WORKFLOW,
    }
    response = api.post_json("/create-task", parameters)
    assert (response.status_code, response.json_body["workflow_sid"]) == (201, WORKFLOW)
    assert parameters_in_error(api, "/create-task", parameters) == (
        "attributes, priority, timeout, task_channel, workflow_sid."
    )
    assert api.taskrouter.calls == {"create": 1}


def test_reject_takes_a_task_and_an_activity_but_no_other_parameters(
    api: Api,
) -> None:
    remote = reserve(api)
    path = f"/reservations/{remote.reservation_sid}/reject"
    parameters = {"task_sid": remote.task_sid, "activity_sid": "WA" + "0" * 32}
    assert parameters_in_error(api, path, parameters) == "task_sid, activity_sid."
    response = api.post_json(path, parameters)
    assert response.json_body["reservation_status"] == "rejected"


def test_complete_takes_a_task_but_no_other_parameters(api: Api) -> None:
    remote = reserve(api)
    parameters = {"task_sid": remote.task_sid}
    path = f"/reservations/{remote.reservation_sid}"
    assert api.post_json(f"{path}/accept", parameters).status_code == 200
    api.taskrouter.set_status(remote.reservation_sid, Status.WRAPPING)
    assert parameters_in_error(api, f"{path}/complete", parameters) == "task_sid."
    response = api.post_json(f"{path}/complete", parameters)
    assert response.json_body["reservation_status"] == "completed"


@pytest.mark.parametrize("names", [{"task_sid"}, {"reservation_sid"}])
def test_reservation_is_accepted_by_task_sid_or_reservation_sid(api: Api, names: set[str]) -> None:
    remote = reserve(api)
    sids = {"task_sid": remote.task_sid, "reservation_sid": remote.reservation_sid}
    parameters = {name: sids[name] for name in names}
    assert parameters_in_error(api, "/accept_reservation", parameters) == (
        "task_sid, reservation_sid."
    )
    response = api.post_json("/accept_reservation", parameters)
    assert response.json_body["reservation_status"] == "accepted"


def test_reservations_are_listed_and_read_with_documented_parameters_only(api: Api) -> None:
    remote = reserve(api)
    sid, worker_sid = remote.reservation_sid, remote.worker_sid
    query = f"worker_sid={worker_sid}&status=pending&since=2020-01-01T00:00:00Z&limit=5"
    listed = api.call("GET", f"/reservations?{query}").json_body["reservations"]
    assert [reservation["reservation_sid"] for reservation in listed] == [sid]
    assert api.call("GET", f"/reservations/{sid}").status_code == 200

    message = 'There is no parameter "color"'
    for path in (f"/reservations?{query}&color=red", f"/reservations/{sid}?color=red"):
        response = api.call("GET", path)
        assert response.status_code == 400
        assert response.json_body["Message"].startswith(message)
