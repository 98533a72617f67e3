"""Parameters of Reservation updates and of callback responses.

Every update parameter that the REST handlers list is tested with an invalid value.
"""

import json

import pytest
import requests

from taskrouter_simulator.rest.reservations import SUPERVISE_PARAMETERS, UPDATE_PARAMETERS
from taskrouter_simulator.testing import running
from tests.simulator.conftest import send_request
from tests.simulator.test_instructions import (
    CALL_ATTRIBUTES,
    alert_codes,
    respond,
    simulate_reservation,
)

PHONE, URL = "+15556667777", "https://a/b"
REQUIRED = {
    "Dequeue": {"Instruction": "dequeue", "DequeueTo": PHONE},
    "Call": {"Instruction": "call", "CallTo": PHONE, "CallFrom": PHONE, "CallUrl": URL},
    "Redirect": {
        "Instruction": "redirect",
        "RedirectCallSid": CALL_ATTRIBUTES["call_sid"],
        "RedirectUrl": URL,
    },
    "Supervis": {"Instruction": "supervise", "Supervisor": PHONE},
    "": {"Instruction": "conference", "To": PHONE},
}
FREE_TEXT = {"DequeueFrom", "DequeueTo", "CallFrom", "CallTo", "From", "To", "Supervisor",
             "SipAuthUsername", "SipAuthPassword"}  # fmt: skip
PARAMETERS = {
    "Tasks": (*UPDATE_PARAMETERS, *SUPERVISE_PARAMETERS),
    "Workers": UPDATE_PARAMETERS,
}


def create_reservation(taskrouter):
    """Create a pending Reservation; return its path under each parent resource."""
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    alice = workspace.workers(taskrouter.workers["Alice"])
    alice.update(activity_sid=taskrouter.activities["Idle"])
    task = workspace.tasks.create(attributes=json.dumps(CALL_ATTRIBUTES | {"from": PHONE}))
    taskrouter.advance()
    (reservation,) = task.reservations.list()
    return {
        "Tasks": f"/Tasks/{task.sid}/Reservations/{reservation.sid}",
        "Workers": f"/Workers/{reservation.worker_sid}/Reservations/{reservation.sid}",
    }


@pytest.fixture(scope="module")
def simulator():
    with running(frozen_clock=True) as taskrouter:
        yield taskrouter


@pytest.fixture(scope="module")
def paths(simulator):
    return create_reservation(simulator)


@pytest.mark.parametrize("value", ["", "zzz"])
@pytest.mark.parametrize(
    ("parent", "name"), [(parent, name) for parent, names in PARAMETERS.items() for name in names]
)
def test_invalid_value_is_rejected(simulator, paths, parent, name, value):
    if name in FREE_TEXT and value:
        return
    required = next(item for prefix, item in REQUIRED.items() if name.startswith(prefix))
    if required["Instruction"] == "supervise":
        with running(frozen_clock=True) as taskrouter:
            path = create_reservation(taskrouter)[parent]
            send_request(taskrouter, "POST", path, ReservationStatus="accepted")
            status, body = send_request(taskrouter, "POST", path, **{**required, name: value})
            expected = "accepted"
            current = send_request(taskrouter, "GET", path)[1]
    else:
        status, body = send_request(simulator, "POST", paths[parent], **{**required, name: value})
        expected = "pending"
        current = send_request(simulator, "GET", paths[parent])[1]
    assert status == 400, body
    assert name.lower() in body["message"].lower()
    assert current["reservation_status"] == expected


@pytest.mark.parametrize("value", ["", "zzz", [], {"a": 1}, 2, -1])
@pytest.mark.parametrize(
    ("instruction", "name"),
    [
        ("call", "accept"),
        ("redirect", "accept"),
        *(("conference", name) for name in ("record", "muted", "early_media")),
        ("conference", "start_conference_on_enter"),
        ("conference", "end_conference_on_exit"),
        ("conference", "end_conference_on_customer_exit"),
        ("conference", "beep_on_customer_entrance"),
    ],
)
def test_invalid_boolean_in_callback_response_leads_to_alert(instruction, name, value):
    simulation, _, reservation = simulate_reservation()
    required = {
        "call": {"to": PHONE, "from": PHONE, "url": URL},
        "redirect": {"call_sid": CALL_ATTRIBUTES["call_sid"], "url": URL},
        "conference": {"to": PHONE},
    }
    parameters = {**required[instruction], name: value}
    respond(simulation, reservation, instruction, **parameters)
    assert len(alert_codes(simulation)) == 1
    assert reservation.status == "pending"


@pytest.mark.parametrize("value", [True, False, 1, "FALSE", "yes", "no", "0", None])
def test_boolean_parameter_may_be_a_number_a_string_or_null(value):
    simulation, _, reservation = simulate_reservation()
    respond(simulation, reservation, "conference", to=PHONE, muted=value, record=value)
    assert alert_codes(simulation) == []
    assert reservation.status == "accepted"


@pytest.fixture(scope="module")
def strict_simulator():
    """A simulator that rejects unknown parameters."""
    with running(frozen_clock=True, unknown_parameters="refused") as taskrouter:
        yield taskrouter


@pytest.fixture(scope="module")
def strict_paths(strict_simulator):
    return create_reservation(strict_simulator)


INAPPLICABLE = [
    ({"ReservationStatus": "accepted", "DequeueFrom": PHONE}, "DequeueFrom"),
    ({"ReservationStatus": "accepted", "WorkerActivitySid": "{idle}"}, "WorkerActivitySid"),
    ({"ReservationStatus": "rejected", "Muted": "true"}, "Muted"),
    ({"ReservationStatus": "rejected", **REQUIRED[""]}, "ReservationStatus"),
    ({"Instruction": "accept", "Timeout": "10"}, "Timeout"),
    ({"Instruction": "reject", "CallFrom": PHONE}, "CallFrom"),
    ({**REQUIRED["Dequeue"], "Timeout": "10"}, "Timeout"),
    ({**REQUIRED["Call"], "DequeueTo": PHONE}, "DequeueTo"),
    ({**REQUIRED["Redirect"], "CallAccept": "true"}, "CallAccept"),
    ({**REQUIRED[""], "RedirectUrl": URL}, "RedirectUrl"),
    ({"Beep": "true"}, "Beep"),
]


@pytest.mark.parametrize(("parameters", "name"), INAPPLICABLE, ids=range(len(INAPPLICABLE)))
def test_strict_simulator_rejects_parameter_that_does_not_apply(
    strict_simulator, strict_paths, parameters, name
):
    idle = strict_simulator.activities["Idle"]
    values = {key: value.format(idle=idle) for key, value in parameters.items()}
    for path in strict_paths.values():
        status, body = send_request(strict_simulator, "POST", path, **values)
        assert (status, body["code"]) == (400, 20001)
        assert body["message"].startswith(f"{name} does not apply to ")
        assert send_request(strict_simulator, "GET", path)[1]["reservation_status"] == "pending"


@pytest.mark.parametrize(
    "parameters",
    [
        {"ReservationStatus": "rejected", "WorkerActivitySid": "{idle}"},
        {"Instruction": "reject", "WorkerActivitySid": "{idle}"},
        {"Instruction": "accept"},
        {**REQUIRED["Dequeue"], "DequeueTimeout": "10", "DequeueStatusCallbackEvent": "ringing"},
        {**REQUIRED["Call"], "CallAccept": "true"},
        {**REQUIRED[""], "Timeout": "10", "Muted": "true", "Beep": "onEnter"},
    ],
)
def test_strict_simulator_allows_parameters_that_apply(parameters):
    with running(frozen_clock=True, unknown_parameters="refused") as taskrouter:
        idle = taskrouter.activities["Idle"]
        values = {key: value.format(idle=idle) for key, value in parameters.items()}
        path = create_reservation(taskrouter)["Tasks"]
        status, body = send_request(taskrouter, "POST", path, **values)
        assert status == 200, body


def test_error_names_the_unknown_instruction(strict_simulator, strict_paths):
    path = strict_paths["Tasks"]
    _, body = send_request(strict_simulator, "POST", path, Instruction="zzz", Timeout="10")
    assert body["message"] == "Invalid instruction zzz"


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/Tasks", "AssignmentStatus"),
        ("GET", "/Tasks", "Priority"),
        ("GET", "/Workers", "PageSize"),
        ("POST", "/Tasks", "Priority"),
        ("POST", "/Workers", "FriendlyName"),
        ("POST", "{reservation}", "Timeout"),
        ("POST", "{reservation}", "Xyzzy"),
    ],
)
def test_strict_simulator_rejects_repeated_parameter_unless_it_is_a_list(
    strict_simulator, strict_paths, method, path, name
):
    is_list = name == "AssignmentStatus"
    path = path.format(reservation=strict_paths["Tasks"])
    response = requests.request(
        method,
        f"{strict_simulator.url}/v1/Workspaces/{strict_simulator.workspace_sid}{path}",
        auth=(strict_simulator.account_sid, strict_simulator.auth_token),
        timeout=5,
        **{
            "params" if method == "GET" else "data": [
                (name, "pending" if is_list else "1"),
                (name, "canceled" if is_list else "2"),
            ]
        },
    )
    assert response.status_code == (200 if is_list else 400)
    if not is_list and name != "Xyzzy":
        assert response.json()["message"] == f"{name} must not be repeated"


def test_strict_simulator_allows_repeated_status_callback_events():
    events = [("StatusCallbackEvent", "ringing"), ("StatusCallbackEvent", "answered")]
    with running(frozen_clock=True, unknown_parameters="refused") as taskrouter:
        path = create_reservation(taskrouter)["Tasks"]
        response = requests.post(
            f"{taskrouter.url}/v1/Workspaces/{taskrouter.workspace_sid}{path}",
            auth=(taskrouter.account_sid, taskrouter.auth_token),
            data=[*REQUIRED[""].items(), *events],
            timeout=5,
        )
    assert response.status_code == 200, response.text
