"""Control routes: unknown names, invalid values, the log's filters and published events."""

import json

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from taskrouter_simulator.control import ROUTES
from taskrouter_simulator.log import KINDS
from tests.simulator.conftest import SPANISH
from tests.simulator.test_docs import PAGE

CALL = {"from": "+15550001111", "to": "+15556667777", "url": "http://127.0.0.1:9/voice"}
VALID = {
    ("GET", "/simulator"): {},
    ("GET", "/simulator/log"): {"kind": "request", "after": "1"},
    ("POST", "/simulator/clock"): {"advance": 0},
    ("GET", "/simulator/faults"): {},
    ("POST", "/simulator/faults"): {"on": "request", "kind": "cut", "path": "/x"},
    ("DELETE", "/simulator/faults"): {},
    ("POST", "/simulator/events"): {"event_type": "task.created", "task_sid": None},
    ("GET", "/simulator/calls"): {},
    ("POST", "/simulator/calls"): CALL,
    ("GET", "/simulator/calls/{sid}"): {},
    ("POST", "/simulator/calls/{sid}"): {"status": "completed"},
    ("POST", "/simulator/transfers"): {"reservation_sid": "WR0", "to": "WK0", "mode": "COLD"},
    ("GET", "/simulator/transfers/{sid}"): {},
    ("POST", "/simulator/transfers/{sid}"): {"status": "canceled"},
    ("POST", "/simulator/reset"): {"friendly_name": "Empty"},
    ("GET", "/simulator/snapshot"): {},
    ("PUT", "/simulator/snapshot"): {"version": 1},  # test_snapshots.py covers complete snapshots
}
"""Values with valid names for each control route."""


def send(taskrouter, method, path, values, *, query="", sid="CA0"):
    """Send values in the query string of a GET request, or in the body of other requests."""
    url = taskrouter.url + path.format(sid=sid) + query
    if method == "GET":
        return requests.get(url, params=values, timeout=5)
    return requests.request(method, url, data=json.dumps(values) if values else None, timeout=5)


def error_in(response):
    assert response.status_code == 400, response.text
    return response.json()["message"]


def test_values_are_defined_for_every_control_route():
    assert VALID.keys() == {(method, path) for path, item in ROUTES.items() for method in item}


@pytest.mark.parametrize(
    ("method", "path", "name", "similar"),
    [
        ("GET", "/simulator/log", "kindd", "kind"),
        ("GET", "/simulator/log", "Kind", "kind"),
        ("GET", "/simulator/log", "aftr", "after"),
        ("POST", "/simulator/clock", "advanse", "advance"),
        ("POST", "/simulator/faults", "time", "times"),
        ("POST", "/simulator/faults", "retryAfter", "retry_after"),
        ("POST", "/simulator/events", "eventType", "event_type"),
        ("POST", "/simulator/events", "ReservationSid", "reservation_sid"),
        ("POST", "/simulator/calls", "From", "from"),
        ("POST", "/simulator/calls", "from_", "from"),
        ("POST", "/simulator/calls", "workerAnswers", "worker_answers"),
        ("POST", "/simulator/calls/{sid}", "Status", "status"),
        ("POST", "/simulator/reset", "friendlyName", "friendly_name"),
        ("PUT", "/simulator/snapshot", "object", "objects"),
    ],
)
def test_misspelled_name_is_rejected_with_suggestion(taskrouter, method, path, name, similar):
    values = {**VALID[method, path], name: "1"}
    message = error_in(send(taskrouter, method, path, values))
    assert name in message
    assert message.endswith(f"did you mean {similar}?")


@given(st.sampled_from(list(VALID)), st.text(st.characters(codec="utf-8"), max_size=20))
def test_any_unknown_name_is_rejected(shared_simulator, operation, prefix):
    values = {**VALID[operation], f"{prefix}~": "1"}
    assert "~" in error_in(send(shared_simulator, *operation, values))


@pytest.mark.parametrize("name", ["simulator", "sid", "request", "description", "self"])
@pytest.mark.parametrize(("method", "path"), VALID)
def test_names_of_internal_arguments_are_rejected(taskrouter, method, path, name):
    message = error_in(send(taskrouter, method, path, {**VALID[method, path], name: "1"}))
    assert name in message


@pytest.mark.parametrize(("method", "path"), VALID)
def test_post_and_put_reject_query_string_and_other_methods_reject_body(taskrouter, method, path):
    values = VALID[method, path]
    if method in {"POST", "PUT"}:
        query = "?" + "&".join(f"{name}=1" for name in values)
        message = error_in(send(taskrouter, method, path, values, query=query))
        assert message == "the query string must be empty; put the values in the JSON body"
    else:
        url = taskrouter.url + path.format(sid="CA0")
        response = requests.request(method, url, json=values or {"x": 1}, timeout=5)
        expected = (
            "the body must be empty" if values else "unknown name 'x'; no names are allowed here"
        )
        assert error_in(response).startswith(expected)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("kind=zz", "unknown kind 'zz'; use one of request, assignment"),
        ("kind=reqest", "unknown kind 'reqest'; did you mean request?"),
        ("kind=Alert", "unknown kind 'Alert'; did you mean alert?"),
        ("kind=callback", "unknown kind 'callback'"),
        ("kind=", "unknown kind ''"),
        ("kind=alert&kind=call", "a name in the query string is repeated"),
        ("after=", "after must be the id"),
        ("after=-1", "after must be the id"),
    ],
)
def test_log_rejects_invalid_query_parameters(taskrouter, query, message):
    response = requests.get(f"{taskrouter.url}/simulator/log?{query}", timeout=5)
    assert error_in(response).startswith(message)


@pytest.mark.parametrize("kind", KINDS)
def test_log_can_be_filtered_by_every_kind_of_entry(taskrouter, kind):
    assert {entry["kind"] for entry in taskrouter.log(kind)} <= {kind}


def test_kinds_of_log_entries_are_documented():
    for kind in KINDS:
        assert f"`{kind}`" in PAGE


@pytest.mark.parametrize("times", [0, -1, "1", True, 1.5])
def test_fault_whose_times_field_is_invalid_is_rejected(taskrouter, times):
    values = {"on": "request", "kind": "cut", "times": times}
    message = error_in(send(taskrouter, "POST", "/simulator/faults", values))
    assert message == "`times` must be a whole number between 1 and 1,000,000,000"
    assert taskrouter._request("GET", "/faults") == {"faults": []}


def test_event_must_refer_to_existing_and_related_resources(taskrouter, workspace):
    workspace.workers(taskrouter.workers["Alice"]).update(
        activity_sid=taskrouter.activities["Idle"]
    )
    task = workspace.tasks.create(attributes=SPANISH)
    other = workspace.tasks.create(attributes=SPANISH)
    taskrouter.advance()
    (reservation,) = task.reservations.list()
    missing = "WR" + "0" * 32

    def publish(event_type, **values):
        body = {"event_type": event_type, **values}
        return send(taskrouter, "POST", "/simulator/events", body)

    for response in (
        publish("task.created", task_sid=task.sid, reservation_sid=missing),
        publish("task.created", task_sid=other.sid, reservation_sid=reservation.sid),
        publish("reservation.failed", task_sid=task.sid),
        publish("reservation.faild", reservation_sid=reservation.sid),
        publish("task.created", task_sid=reservation.sid),
        publish("task.created", reservation_sid=task.sid),
    ):
        assert error_in(response)
    both = {"task_sid": task.sid, "reservation_sid": reservation.sid}
    assert publish("task.transfer-failed", **both).status_code == 200
    (event,) = workspace.events.list(event_type="task.transfer-failed")
    assert (event.resource_type, event.resource_sid) == ("task", task.sid)


def test_published_event_does_not_advance_the_clock(taskrouter, workspace):
    task = workspace.tasks.create(attributes="{}")
    before = taskrouter._request("POST", "/clock", {"advance": 0})["now"]
    body = {"event_type": "task.created", "task_sid": task.sid}
    assert send(taskrouter, "POST", "/simulator/events", body).status_code == 200
    assert taskrouter._request("POST", "/clock", {"advance": 0})["now"] == before


def test_misspelled_event_type_is_rejected_with_suggestion(taskrouter):
    body = {"event_type": "reservation.faild"}
    message = error_in(send(taskrouter, "POST", "/simulator/events", body))
    assert message.endswith("did you mean reservation.failed?")


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        ("/simulator/clock", '{"advance": 0, "advance": 1}', "advance"),
        ("/simulator/faults", '{"on": "request", "kind": "cut", "kind": "cut"}', "kind"),
        ("/simulator/reset", '{"workers": [{"a": 1, "a": 1}]}', "a"),
    ],
)
def test_repeated_name_in_body_is_rejected(taskrouter, path, body, name):
    response = requests.post(taskrouter.url + path, data=body, timeout=5)
    assert response.status_code == 400
    assert response.json()["message"] == f"the body repeats the name {name!r}"
