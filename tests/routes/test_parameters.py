"""Routes that need a token reject unknown parameters; routes called by Twilio accept them."""

import itertools
import json
import re
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import app
from chalicelib.domain.instructions import INSTRUCTION_TYPES
from chalicelib.domain.reservations import RINGING
from tests.routes.conftest import FORM, Api, reserve
from tests.routes.test_permissions import ROUTES
from tests.support import sid

pytestmark = pytest.mark.usefixtures("tutorial")

WR = "WR" + "0" * 32
PARAMETERS = {
    "/create-task": ("attributes", "priority", "timeout", "task_channel", "workflow_sid"),
    "/accept_reservation": ("task_sid", "reservation_sid"),
    "/reservations": ("worker_sid", "status", "since", "limit", "cursor"),
    "/overview": (),
    "/statistics": (),
    "/callbacks": (
        *("reservation_sid", "task_sid", "worker_sid"),
        *("route", "status", "since", "until", "limit", "cursor"),
    ),
    "/activities": (),
    "/activity": ("activity_sid", "worker_sid"),
    "/reservations/{sid}": (),
    "/reservations/{sid}/signature": (),
    "/reservations/{sid}/accept": ("task_sid", "instruction"),
    "/reservations/{sid}/reject": ("task_sid", "activity_sid"),
    "/reservations/{sid}/complete": ("task_sid",),
}
"""The documented parameters of the routes, except those of an instruction."""

SOURCES = [
    (method, path, source)
    for method, path in ROUTES
    for source in ("query", "form", "json")
    if method != "GET" or source == "query"  # a GET request has no body
]


def send(api: Api, method: str, path: str, source: str, parameters: dict[str, str]) -> Any:
    path = path.replace("{sid}", WR)
    match source:
        case "query":
            return api.call(method, f"{path}?{urlencode(parameters)}")
        case "form":
            return api.call(method, path, body=urlencode(parameters).encode(), content_type=FORM)
        case _:
            return api.call(
                method, path, body=json.dumps(parameters).encode(), content_type="application/json"
            )


def test_parameters_of_every_route_that_needs_a_token_are_listed() -> None:
    assert {path for _, path in ROUTES} == PARAMETERS.keys()


@pytest.mark.parametrize(("method", "path", "source"), SOURCES)
def test_unknown_parameter_is_rejected_in_a_query_a_form_or_json(
    api: Api, method: str, path: str, source: str
) -> None:
    response = send(api, method, path, source, {"color": "red"})

    assert (response.status_code, response.json_body["Code"]) == (400, "BadRequestError")
    assert '"color"' in response.json_body["Message"]
    for name in PARAMETERS[path]:
        assert name in response.json_body["Message"]
    assert not api.taskrouter.calls


@pytest.mark.parametrize(
    ("method", "path", "name", "intended"),
    [
        ("POST", "/create-task", "Attributes", "attributes"),
        ("POST", "/create-task", "taskChannel", "task_channel"),
        ("POST", "/create-task", "WorkflowSid", "workflow_sid"),
        ("GET", "/create-task", "prioritty", "priority"),
        ("POST", "/accept_reservation", "TaskSid", "task_sid"),
        ("GET", "/accept_reservation", "reservationsid", "reservation_sid"),
        ("GET", "/reservations", "ReservationStatus", "status"),
        ("GET", "/reservations", "reservation_status", "status"),
        ("GET", "/reservations", "WORKER_SID", "worker_sid"),
        ("GET", "/reservations", "PageSize", "limit"),
        ("GET", "/reservations", "AssignmentStatus", "status"),
        ("GET", "/reservations", "assignment_status", "status"),
        ("GET", "/reservations", "PageToken", "cursor"),
        ("GET", "/reservations", "page", "cursor"),
        ("GET", "/reservations", "next_cursor", "cursor"),
        ("POST", "/reservations/{sid}/accept", "Instruction", "instruction"),
        ("POST", "/reservations/{sid}/accept", "from", 'an instruction with the "from" parameter'),
        (
            "POST",
            "/reservations/{sid}/accept",
            "CallUrl",
            'an instruction with the "url" parameter',
        ),
        ("POST", "/reservations/{sid}/accept", "task-sid", "task_sid"),
        ("POST", "/reservations/{sid}/reject", "WorkerActivitySid", "activity_sid"),
        ("POST", "/reservations/{sid}/reject", "activity", "activity_sid"),
        ("POST", "/reservations/{sid}/complete", "tasksid", "task_sid"),
        ("POST", "/reservations/{sid}/complete", "TASK-SID", "task_sid"),
    ],
)
def test_message_suggests_the_intended_parameter(
    api: Api, method: str, path: str, name: str, intended: str
) -> None:
    message = send(api, method, path, "query", {name: "x"}).json_body["Message"]
    assert message.startswith(f'There is no parameter "{name}"; did you mean {intended}?')


def test_instruction_with_rest_api_names_is_rejected(api: Api) -> None:
    remote = reserve(api)
    body = {"Instruction": "dequeue", "DequeueFrom": "+15556667777"}

    response = api.post_json(f"/reservations/{remote.reservation_sid}/accept", body)

    assert response.status_code == 400
    assert response.json_body["Message"] == (
        'There is no parameter "Instruction"; did you mean instruction? '
        'There is no parameter "DequeueFrom"; '
        'did you mean an instruction with the "from" parameter? '
        "The parameters are: task_sid, instruction."
    )
    assert not api.taskrouter.calls


REST_PARAMETERS = {
    "Reservation": (
        *("ReservationStatus", "WorkerActivitySid", "Instruction", "SupervisorMode", "Supervisor"),
        *("To", "From", "Timeout", "Record", "Region", "Muted", "PostWorkActivitySid"),
    ),
    "Task": (
        *("Attributes", "AssignmentStatus", "Reason", "Priority", "TaskChannel"),
        *("VirtualStartTime", "Timeout", "WorkflowSid", "RoutingTarget", "IgnoreCapacity"),
        "TaskQueueSid",
    ),
}
"""Some parameters of TaskRouter's POST requests. INSTRUCTION_TYPES contains the others."""

ALL_REST_PARAMETERS = sorted(
    {*itertools.chain(*REST_PARAMETERS.values())}
    | {p.rest_name for name in RINGING for p in INSTRUCTION_TYPES[name].parameters().values()}
)


@pytest.mark.parametrize("path", [path for method, path in ROUTES if method == "POST"])
def test_every_rest_api_name_has_a_counterpart_or_an_explanation(api: Api, path: str) -> None:
    for name in ALL_REST_PARAMETERS:
        snake = re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower()
        for spelling in {name, snake} - {*PARAMETERS[path]}:
            message = send(api, "POST", path, "json", {spelling: "x"}).json_body["Message"]
            if spelling != "instruction":
                advice = f'There is no parameter "{re.escape(spelling)}"(; did you mean |: )'
                assert re.match(advice, message), message
    assert not api.taskrouter.calls


@pytest.mark.parametrize(
    ("path", "name", "advice"),
    [
        (
            "/reservations/{sid}/accept",
            "WorkerActivitySid",
            ": only POST /reservations/{sid}/reject",
        ),
        ("/reservations/{sid}/accept", "ReservationStatus", ": the route determines the status"),
        ("/reservations/{sid}/accept", "ReservationSid", ": the path of the route contains"),
        (
            "/reservations/{sid}/accept",
            "Supervisor",
            ": the supervise instruction is not supported",
        ),
        ("/reservations/{sid}/complete", "ActivitySid", ": only POST /reservations/{sid}/reject"),
        ("/reservations/{sid}/complete", "worker_activity_sid", ": only POST /reservations/{sid}/"),
        ("/reservations/{sid}/reject", "ActivitySid", "; did you mean activity_sid?"),
        ("/accept_reservation", "instruction", ": only POST /reservations/{sid}/accept takes"),
        ("/accept_reservation", "Instruction", ": only POST /reservations/{sid}/accept takes"),
        ("/accept_reservation", "from", ": only POST /reservations/{sid}/accept takes"),
        ("/create-task", "TaskQueueSid", ": it is not supported, because the Workflow"),
        ("/create-task", "RoutingTarget", ": it is not supported, because the Workflow"),
        ("/create-task", "IdempotencyKey", ": send the key in the Idempotency-Key header"),
        ("/create-task", "idempotency_key", ": send the key in the Idempotency-Key header"),
        ("/create-task", "Idempotency-Key", ": send the key in the Idempotency-Key header"),
    ],
)
def test_error_explains_an_unknown_name_or_suggests_its_counterpart(
    api: Api, path: str, name: str, advice: str
) -> None:
    message = send(api, "POST", path, "json", {name: "x"}).json_body["Message"]
    assert message.startswith(f'There is no parameter "{name}"{advice}')


@pytest.mark.parametrize("instruction", RINGING)
@pytest.mark.parametrize(
    ("name", "intended"),
    [
        *[(name, "task_sid") for name in ("TaskSid", "taskSid", "tasksid", "task-sid", "tsk_sid")],
        *[(name, "instruction") for name in ("Instruction", "instructio")],
    ],
)
def test_misspelled_parameter_in_a_body_with_an_instruction_is_rejected_with_a_suggestion(
    api: Api, instruction: str, name: str, intended: str
) -> None:
    body = {"instruction": instruction, "from": "+15556667777", name: "x"}
    message = api.post_json(f"/reservations/{WR}/accept", body).json_body["Message"]
    assert message.startswith(f'There is no parameter "{name}"; did you mean {intended}?')
    assert not api.taskrouter.calls


@pytest.mark.parametrize(
    ("instruction", "name", "intended"),
    [
        ("conference", "DequeueFrom", "from"),
        ("conference", "CallTo", "to"),
        ("conference", "dequeue_timeout", "timeout"),
        ("dequeue", "PostWorkActivitySid", "post_work_activity_sid"),
        ("call", "RedirectAccept", "accept"),
        ("redirect", "CallUrl", "url"),
    ],
)
def test_rest_api_name_from_another_instruction_is_rejected_with_a_suggestion(
    api: Api, instruction: str, name: str, intended: str
) -> None:
    body = {"instruction": instruction, name: "x"}
    message = api.post_json(f"/reservations/{WR}/accept", body).json_body["Message"]
    assert (
        f"The `{instruction}` instruction has no parameter `{name}`; did you mean {intended}?"
        in message
    )


@pytest.mark.parametrize(
    ("name", "intended"),
    [
        ("Conference", "conference"),
        ("conferance", "conference"),
        ("DEQUEUE", "dequeue"),
        ("redirct", "redirect"),
        ("accept", None),
        (["call"], None),
        (5, None),
    ],
)
def test_error_for_an_invalid_instruction_suggests_a_similar_instruction_if_there_is_one(
    api: Api, name: object, intended: str | None
) -> None:
    response = api.post_json(f"/reservations/{WR}/accept", {"instruction": name})
    assert response.status_code == 400
    end = f" Did you mean {intended}?" if intended else ", or be omitted."
    assert response.json_body["Message"].endswith(end)


@pytest.mark.parametrize(
    ("method", "path", "body", "name"),
    [
        ("POST", "/create-task", '{"attributes":{},"attributes":{"a":1}}', "attributes"),
        ("POST", "/create-task", '{"attributes":{"a":1,"b":{"c":1,"c":2}}}', "c"),
        ("POST", "/create-task", r'{"attributes":{},"priority":1,"pr\u0069ority":2}', "priority"),
        ("POST", "/create-task", "attributes={}&attributes={}", "attributes"),
        (
            "POST",
            "/reservations/{sid}/accept",
            '{"instruction":"call","instruction":1}',
            "instruction",
        ),
        ("POST", "/reservations/{sid}/reject", '{"task_sid":"a","task_sid":"a"}', "task_sid"),
        ("POST", "/accept_reservation?task_sid=WT", '{"task_sid":"a"}', "task_sid"),
        ("GET", "/reservations?limit=1&limit=1", "", "limit"),
    ],
)
def test_error_for_a_repeated_name_contains_the_name(
    api: Api, method: str, path: str, body: str, name: str
) -> None:
    content_type = "application/json" if body.startswith("{") else FORM
    response = api.call(
        method, path.replace("{sid}", WR), body=body.encode(), content_type=content_type
    )
    assert (response.status_code, response.json_body["Code"]) == (400, "BadRequestError")
    assert f'"{name}"' in response.json_body["Message"]
    assert "repeat" in response.json_body["Message"]
    assert not api.taskrouter.calls


@pytest.mark.parametrize("path", [path for method, path in ROUTES if method == "GET"])
@pytest.mark.parametrize(
    ("body", "content_type"),
    [('{"attributes":{"a":1}}', "application/json"), ("limit=1", FORM), ("{", "application/json")],
)
def test_body_of_a_get_request_is_rejected(
    api: Api, path: str, body: str, content_type: str
) -> None:
    response = api.call(
        "GET", path.replace("{sid}", WR), body=body.encode(), content_type=content_type
    )
    assert (response.status_code, response.json_body["Code"]) == (400, "BadRequestError")
    assert "must not have a body" in response.json_body["Message"]
    assert not api.taskrouter.calls


INSTRUCTION_PARAMETERS = [
    (instruction, name, parameter.rest_name)
    for instruction in RINGING
    for name, parameter in INSTRUCTION_TYPES[instruction].parameters().items()
]


@pytest.mark.parametrize(("instruction", "name", "rest_name"), INSTRUCTION_PARAMETERS)
def test_rest_api_name_of_an_instruction_parameter_is_rejected_with_a_suggestion(
    api: Api, instruction: str, name: str, rest_name: str
) -> None:
    body = {"instruction": instruction, rest_name: "x"}
    message = api.post_json(f"/reservations/{WR}/accept", body).json_body["Message"]
    assert (
        f"The `{instruction}` instruction has no parameter `{rest_name}`; did you mean {name}?"
        in message
    )


@pytest.mark.parametrize("name", ["form", "ur", "status_callback", "Timeou"])
def test_misspelled_parameter_of_a_call_instruction_is_rejected_with_a_suggestion(
    api: Api, name: str
) -> None:
    remote = reserve(api)
    call = {"instruction": "call", "from": "+15556667777", "url": "https://desk.example/twiml"}

    response = api.post_json(f"/reservations/{remote.reservation_sid}/accept", {**call, name: "x"})

    assert response.status_code == 400
    assert (
        f"The `call` instruction has no parameter `{name}`; did you mean "
        in response.json_body["Message"]
    )
    assert not api.taskrouter.calls


NAMES = st.text(st.characters(codec="utf-8"), max_size=80)


@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(route=st.sampled_from(ROUTES), names=st.sets(NAMES, min_size=1, max_size=4))
def test_message_about_unknown_names_is_one_short_line(
    api: Api, route: tuple[str, str], names: set[str]
) -> None:
    method, path = route
    if names <= {*PARAMETERS[path]} or "instruction" in names:
        return

    response = send(api, method, path, "query", dict.fromkeys(names, "x"))

    assert response.status_code == 400
    assert len(response.json_body["Message"]) < 500
    assert "\n" not in response.json_body["Message"]
    assert not api.taskrouter.calls


def test_missing_permission_is_reported_before_an_unknown_parameter(api: Api) -> None:
    assert api.call("GET", "/reservations?color=red", token=None).status_code == 401
    worker = api.token("worker", worker_sid=sid("WK"))
    assert api.call("POST", "/create-task?color=red", token=worker).status_code == 403


SIGNED = sorted(
    path
    for path, methods in app.routes.items()
    if path not in {*PARAMETERS, "/console/session"} and "POST" in methods
)


@pytest.mark.parametrize("path", SIGNED)
def test_signed_request_may_have_unknown_parameters(api: Api, path: str) -> None:
    event = {"EventType": "task.created", "CallSid": "CA" + "0" * 32}
    form = {**api.callback_parameters(), **event, "NewParameter": "x"}

    assert api.post_callback(form, path=path).status_code in {200, 204}


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_name_with_one_wrong_character_is_rejected_with_a_suggestion(
    api: Api, data: st.DataObject
) -> None:
    method, path = data.draw(st.sampled_from([route for route in ROUTES if PARAMETERS[route[1]]]))
    name = data.draw(st.sampled_from(PARAMETERS[path]))
    position = data.draw(st.integers(0, len(name) - 1))
    misspelled = data.draw(
        st.sampled_from(
            [
                name[:position] + name[position + 1 :],
                name[:position] + "x" + name[position:],
                name[:position] + name[position].upper() + name[position + 1 :],
            ]
        )
    )
    if misspelled in PARAMETERS[path]:
        return

    response = send(api, method, path, "query", {misspelled: "x"})

    assert response.status_code == 400
    assert f'"{misspelled}"; did you mean ' in response.json_body["Message"]
    assert not api.taskrouter.calls
