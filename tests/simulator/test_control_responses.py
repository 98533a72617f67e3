"""Responses from the control routes, and limits on request values."""

import json

import pytest
import requests

from taskrouter_simulator.identifiers import Credentials
from taskrouter_simulator.origins import NOT_LOCAL
from tests.simulator.conftest import SPANISH

LONG = "x" * 150
CALL = {"from": "+1", "to": "+2", "url": "http://127.0.0.1:9/voice"}


def send(taskrouter, method, path, *, data=None, **headers):
    """Send a request; return the status and the JSON."""
    data = data if isinstance(data, str | None) else json.dumps(data)
    response = requests.request(
        method, f"{taskrouter.url}/simulator{path}", data=data, headers=headers, timeout=5
    )
    return response.status_code, response.json()


def post(taskrouter, route, **values):
    return send(taskrouter, "POST", route, data=values)


def test_workspace_is_described_with_credentials_and_sids(taskrouter, workspace):
    def sids(resources):
        return {item.friendly_name: item.sid for item in resources.list()}

    status, body = send(taskrouter, "GET", "")
    assert (status, body) == (
        200,
        {
            **vars(Credentials()),
            "workspace_sid": taskrouter.workspace_sid,
            "workflow_sid": workspace.workflows.list()[0].sid,
            "callback_base_url": "http://127.0.0.1:8000",
            "workers": sids(workspace.workers),
            "activities": sids(workspace.activities),
            "task_queues": sids(workspace.task_queues),
        },
    )
    workspace.delete()
    empty = {name: {} for name in ("workers", "activities", "task_queues")}
    assert send(taskrouter, "GET", "") == (200, {**body, **empty})


def test_description_of_a_workspace_without_workflow_has_an_empty_workflow_sid(taskrouter):
    status, body = post(taskrouter, "/reset", friendly_name="Empty")
    assert (status, body["workflow_sid"], body["workers"]) == (200, "", {})


def test_clock_advances_by_at_most_ten_years(taskrouter):
    _, before = post(taskrouter, "/clock", advance=0)
    assert post(taskrouter, "/clock", advance=1.5) == (200, {"now": before["now"] + 1.5})
    message = "advance must be between 0 and 315360000 seconds"
    for seconds in (-0.1, -1, 315_360_000.1, 315_360_001):
        assert post(taskrouter, "/clock", advance=seconds) == (400, {"message": message})
    for seconds in (True, "1", None):
        expected = (400, {"message": 'the body must be {"advance": seconds}'})
        assert post(taskrouter, "/clock", advance=seconds) == expected
    assert post(taskrouter, "/clock") == (400, {"message": 'the body must be {"advance": seconds}'})


def test_log_lists_entries_after_given_id(taskrouter, workspace):
    workspace.fetch()
    workspace.fetch()
    _, body = send(taskrouter, "GET", "/log")
    first, second = body["entries"]
    for query, expected in (
        ("?after=0", [first, second]),
        (f"?after={first['id']}", [second]),
        (f"?after={first['id']:015}&kind=request", [second]),
        ("?kind=alert", []),
    ):
        assert send(taskrouter, "GET", f"/log{query}") == (200, {"entries": expected})
    message = {"message": "after must be the id of a log entry"}
    assert send(taskrouter, "GET", f"/log?after={0:016}") == (400, message)


def test_fault_routes_list_pending_faults(taskrouter):
    status, body = post(taskrouter, "/faults", on="request", kind="cut", path="/never")
    assert (status, [fault["path"] for fault in body["faults"]]) == (200, ["/never"])
    assert send(taskrouter, "GET", "/faults") == (200, body)
    assert send(taskrouter, "DELETE", "/faults") == (200, {"faults": []})
    assert send(taskrouter, "GET", "/faults") == (200, {"faults": []})


def placed_call(body, **fields):
    """Return the expected description of a call that failed because no app responded."""
    return {
        "sid": body["sid"], "from": "+1", "to": "+2", "direction": "inbound", "status": "failed",
        "url": CALL["url"], "task_sid": None, "reservation_sid": None, "connected_with": None,
        "conference": None, "steps": body["steps"], **fields,
    }  # fmt: skip


def test_placed_call_is_described(taskrouter):
    status, body = post(taskrouter, "/calls", **CALL, digits=["1", None], worker_answers=False)
    assert (status, body) == (200, placed_call(body))
    assert [step["step"] for step in body["steps"]] == ["placed", "ended"]
    assert send(taskrouter, "GET", "/calls") == (200, {"calls": [body]})
    assert send(taskrouter, "GET", f"/calls/{body['sid']}") == (200, body)
    missing = f"call {'C' * 50} does not exist"
    for method, data in (("GET", None), ("POST", {"status": "completed"})):
        path = f"/calls/{'C' * 60}"
        assert send(taskrouter, method, path, data=data) == (404, {"message": missing})
    message = (
        'the body must contain at least one of status ("completed" to hang up, "in-progress" to'
        " answer), muted, hold, speaking, end_conference_on_exit"
    )
    for data in ({"status": "busy"}, {}, {"status": "busy", "muted": True}):
        assert post(taskrouter, f"/calls/{body['sid']}", **data) == (400, {"message": message})
    ended = (400, {"message": f"Call {body['sid']} has ended"})
    assert post(taskrouter, f"/calls/{body['sid']}", status="completed") == ended


@pytest.mark.parametrize("name", ["from", "to"])
def test_caller_and_called_party_may_have_up_to_100_visible_characters(taskrouter, name):
    for value in ("x" * 100, "~", "!"):
        assert post(taskrouter, "/calls", **{**CALL, name: value})[0] == 200
    reason = "must be a phone number such as +15550001111, or a client such as client:alice"
    for value in ("x" * 101, "", " ", "ü", None, 7):
        expected = (400, {"message": f"{name} {reason}"})
        assert post(taskrouter, "/calls", **{**CALL, name: value}) == expected


def test_digits_may_be_a_list_of_up_to_100_strings_of_keys(taskrouter):
    for digits in (None, "", "0123456789*#", [], [None, "1"], ["1"] * 100):
        assert post(taskrouter, "/calls", **CALL, digits=digits)[0] == 200
    message = 'digits must be a string of keys such as "1", or a list of at most 100 such strings'
    for digits in ("a", 1, ["1", 1], ["1"] * 101, [["1"]], {"a": 1}):
        expected = (400, {"message": f"{message} and nulls"})
        assert post(taskrouter, "/calls", **CALL, digits=digits) == expected


@pytest.mark.parametrize(
    "event_type",
    ["reservation.failed", "reservation.created", "task.transfer-failed", "workflow.entered"],
)
def test_event_about_reservation_or_task_can_be_published(taskrouter, workspace, event_type):
    workspace.workers(taskrouter.workers["Alice"]).update(
        activity_sid=taskrouter.activities["Idle"]
    )
    task = workspace.tasks.create(attributes=SPANISH)
    taskrouter.advance()
    (reservation,) = task.reservations.list()
    sids = {"reservation_sid": reservation.sid, "task_sid": task.sid}
    expected = (200, {"event_type": event_type})
    is_about_reservation = event_type.startswith("reservation.")
    assert post(taskrouter, "/events", event_type=event_type, **sids) == expected
    event = workspace.events.list()[-1]
    assert event.description == f"{event_type} published on request"
    sid = reservation.sid if is_about_reservation else task.sid
    assert (event.event_type, event.resource_sid) == (event_type, sid)
    assert event.event_data.items() >= sids.items()
    assert event.event_data["worker_name"] == "Alice"
    error = (
        400,
        {"message": f"{event_type} requires the reservation_sid of an existing Reservation"},
    )
    result = post(taskrouter, "/events", event_type=event_type, task_sid=task.sid)
    assert result == (error if is_about_reservation else expected)
    if not is_about_reservation:
        event = workspace.events.list()[-1]
        assert event.resource_sid == event.event_data["task_sid"] == task.sid
        assert {"reservation_sid", "worker_sid"}.isdisjoint(event.event_data)


def test_event_about_unknown_resources_is_rejected(taskrouter):
    message = (
        "reservation_sid or task_sid must be the SID of an existing Reservation or Task; if both "
        "are given, the Reservation must belong to the Task"
    )
    for sids in ({}, {"task_sid": "WT0"}, {"reservation_sid": "WR0"}, {"task_sid": 7}):
        result = post(taskrouter, "/events", event_type="task.created", **sids)
        assert result == (400, {"message": message})


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "the body is not JSON or is nested too deeply"),
        ("[" * 100_000, "the body is not JSON or is nested too deeply"),
        ("[]", "the body must be a JSON object"),
        ("1", "the body must be a JSON object"),
        ("", 'the body must be {"advance": seconds}'),
        ('{"x": 1, "x": 1}', "the body repeats the name 'x'"),
        ('{"a": 1, "b": 1, "b": 1}', "the body repeats the name 'b'"),
        (f'{{"{LONG}": 1, "{LONG}": 1}}', f"the body repeats the name {LONG[:100]!r}"),
    ],
    ids=range(8),
)  # fmt: skip
def test_invalid_body_is_rejected_with_reason(taskrouter, data, message):
    assert send(taskrouter, "POST", "/clock", data=data) == (400, {"message": message})


def test_request_that_is_not_local_is_rejected(taskrouter):
    for headers in ({"Host": "a.example"}, {"Origin": "http://a.example"}, {"Host": "192.168.0.7"}):
        assert send(taskrouter, "GET", "", **headers) == (403, {"message": NOT_LOCAL})
