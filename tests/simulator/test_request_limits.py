"""Limits on parameters: values at the limits are accepted, and values beyond them are rejected."""

import json
from datetime import UTC, datetime, timedelta

import pytest
import requests

from tests.simulator.conftest import SPANISH, send_request

FORM = "application/x-www-form-urlencoded"
MAX_PRIORITY = 2**31 - 1


@pytest.fixture
def sids(taskrouter, workspace):
    """SIDs for the placeholders in paths."""
    return {
        "idle": taskrouter.activities["Idle"],
        "alice": taskrouter.workers["Alice"],
        "queue": next(iter(taskrouter.task_queues.values())),
        "workflow": taskrouter.workflow_sid,
        "task": workspace.tasks.create(attributes=SPANISH).sid,
    }


def required_parameters(sids):
    routing = {"task_routing": {"default_filter": {"queue": sids["queue"]}}}
    return {
        "/Activities": {"FriendlyName": "New"},
        "/Workers": {"FriendlyName": "New"},
        "/TaskQueues": {"FriendlyName": "New"},
        "/TaskChannels": {"FriendlyName": "New", "UniqueName": "new"},
        "/Workflows": {"FriendlyName": "New", "Configuration": json.dumps(routing)},
        "/Tasks": {"WorkflowSid": sids["workflow"]},
    }


NUMBERS = [
    ("GET", "/Tasks", "PageSize", 1, 1000),
    ("GET", "/Tasks", "Priority", 0, MAX_PRIORITY),
    ("GET", "/Events", "Minutes", 1, 10**9),
    ("POST", "/Workers/{alice}/Channels/voice", "Capacity", 0, 100_000),
    ("POST", "/TaskQueues", "MaxReservedWorkers", 1, 50),
    ("POST", "/TaskQueues/{queue}", "MaxReservedWorkers", 1, 50),
    ("POST", "/Workflows", "TaskReservationTimeout", 1, 86_400),
    ("POST", "/Workflows/{workflow}", "TaskReservationTimeout", 1, 86_400),
    ("POST", "/Tasks", "Priority", 0, MAX_PRIORITY),
    ("POST", "/Tasks/{task}", "Priority", 0, MAX_PRIORITY),
    ("POST", "/Tasks", "Timeout", 1, 1_209_600),
]


@pytest.mark.parametrize(("method", "path", "name", "minimum", "maximum"), NUMBERS)
def test_number_must_be_between_minimum_and_maximum(  # noqa: PLR0917 - pytest passes keywords
    taskrouter, sids, method, path, name, minimum, maximum
):
    required = required_parameters(sids).get(path, {}) if method == "POST" else {}
    path = path.format(**sids)
    for value in (minimum - 1, maximum + 1, f"{minimum}.0", "0" * 13, f" {minimum}"):
        status, body = send_request(taskrouter, method, path, **{**required, name: value})
        assert (status, body["code"]) == (400, 20001)
        assert body["message"] == f"{name} must be a whole number from {minimum} to {maximum}"
    for number, value in enumerate((minimum, f"{maximum:012}")):
        if "FriendlyName" in required:
            required["FriendlyName"] = f"New {number}"
        status, body = send_request(taskrouter, method, path, **{**required, name: value})
        assert status in {200, 201}, body


LENGTHS = [
    ("/Activities", "FriendlyName", 64),
    ("/Activities/{idle}", "FriendlyName", 64),
    ("/Workers", "FriendlyName", 64),
    ("/Workers/{alice}", "FriendlyName", 64),
    ("/TaskChannels", "FriendlyName", 64),
    ("/TaskChannels/voice", "FriendlyName", 64),
    ("", "FriendlyName", 64),
]


@pytest.mark.parametrize(("path", "name", "maximum"), LENGTHS)
def test_friendly_name_of_maximum_length_is_accepted(taskrouter, sids, path, name, maximum):
    required = required_parameters(sids).get(path, {})
    path = path.format(**sids)
    status, body = send_request(taskrouter, "POST", path, **{**required, name: "x" * (maximum + 1)})
    assert (status, body["code"]) == (400, 20001)
    assert body["message"] == f"{name} must not be longer than {maximum} characters"
    status, body = send_request(taskrouter, "POST", path, **{**required, name: "x" * maximum})
    assert status in {200, 201}
    assert body["friendly_name"] == "x" * maximum


def test_friendly_name_of_new_workspace_may_have_64_characters(taskrouter):
    url = f"{taskrouter.url}/v1/Workspaces"
    for length, status in ((64, 201), (65, 400)):
        response = taskrouter.client().request("POST", url, data={"FriendlyName": "x" * length})
        assert response.status_code == status


@pytest.mark.parametrize("path", ["/Tasks", "/Tasks/{task}", "/Workers", "/Workers/{alice}"])
def test_attributes_of_maximum_length_are_accepted(taskrouter, sids, path):
    required = required_parameters(sids).get(path, {})
    path = path.format(**sids)
    text = json.dumps({"a": "x" * (4096 - len('{"a": ""}'))})
    status, body = send_request(taskrouter, "POST", path, **required, Attributes=text + " ")
    assert (status, body["message"]) == (
        400, "Attributes must not be longer than 4096 characters"
    )  # fmt: skip
    status, body = send_request(taskrouter, "POST", path, **required, Attributes=text)
    assert status in {200, 201}
    assert body["attributes"] == text


@pytest.mark.parametrize("path", ["/Workflows", "/Workflows/{workflow}"])
def test_configuration_of_maximum_length_is_accepted(taskrouter, sids, path):
    required = required_parameters(sids)["/Workflows"]
    text = required["Configuration"] + " " * (1_038_576 - len(required["Configuration"]))
    path = path.format(**sids)
    parameters = {"FriendlyName": "New", "Configuration": text + " "}
    status, body = send_request(taskrouter, "POST", path, **parameters)
    assert (status, body["message"]) == (
        400, "Configuration must not be longer than 1038576 characters"
    )  # fmt: skip
    parameters["Configuration"] = text
    assert send_request(taskrouter, "POST", path, **parameters)[0] in {200, 201}


def post_form(taskrouter, body):
    """Post a form to the list of Tasks; return the status and the error message, if any."""
    response = requests.post(
        f"{taskrouter.url}/v1/Workspaces/{taskrouter.workspace_sid}/Tasks",
        auth=(taskrouter.account_sid, taskrouter.auth_token),
        data=body,
        headers={"Content-Type": FORM},
        timeout=10,
    )
    return response.status_code, response.json().get("message")


def test_body_of_maximum_size_is_accepted(taskrouter):
    text = b"X=" + b"x" * (4_000_000 - 2)
    assert post_form(taskrouter, text) == (201, None)
    assert post_form(taskrouter, text + b"x") == (400, "The body is longer than 4000000 bytes")


def test_1000_parameters_are_accepted(taskrouter):
    assert post_form(taskrouter, b"&".join([b"X=1"] * 1000)) == (201, None)
    error = (400, "The request has too many parameters")
    assert post_form(taskrouter, b"&".join([b"X=1"] * 1001)) == error


@pytest.mark.parametrize("is_update", [False, True])
def test_virtual_start_time_must_be_between_1900_and_now(taskrouter, sids, is_update):
    path = f"/Tasks/{sids['task']}" if is_update else "/Tasks"
    now = taskrouter._request("POST", "/clock", {"advance": 0})["now"]
    moment = datetime.fromtimestamp(now, UTC)
    message = "VirtualStartTime must not be in the future or before the year 1900"
    for value, is_accepted in (
        ("1899-12-31T23:59:59.999", False),
        ("1900-01-01T00:00:00", True),
        ((moment - timedelta(milliseconds=1)).isoformat(), True),
        ((moment + timedelta(milliseconds=1)).isoformat(), False),
    ):
        status, body = send_request(taskrouter, "POST", path, VirtualStartTime=value)
        assert (status < 300) is is_accepted, body
        assert body.get("message", message) == message


def test_nonzero_page_number_requires_page_token(taskrouter):
    status, body = send_request(taskrouter, "GET", "/Tasks", Page=1)
    assert (status, body["code"], body["message"]) == (
        400, 40153, "Absolute paging is not supported, use PageToken"
    )  # fmt: skip
    assert send_request(taskrouter, "GET", "/Tasks", Page=0)[0] == 200
    for page in (-1, 10**6 + 1):
        _, body = send_request(taskrouter, "GET", "/Tasks", Page=page)
        assert body["message"] == "Page must be a whole number from 0 to 1000000"
    assert send_request(taskrouter, "GET", "/Tasks", Page=10**6)[1]["code"] == 40153


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((word, True) for word in ("true", "TRUE", "1", "yes")),
        *((word, False) for word in ("false", "False", "0", "no")),
    ],
)
def test_boolean_parameter_accepts_several_spellings(taskrouter, sids, value, expected):
    channel = f"/Workers/{sids['alice']}/Channels/voice"
    for path, name, field in (
        (channel, "Available", "available"),
        ("/TaskChannels/voice", "ChannelOptimizedRouting", "channel_optimized_routing"),
    ):
        status, body = send_request(taskrouter, "POST", path, **{name: value})
        assert (status, body[field]) == (200, expected)
        _, body = send_request(taskrouter, "POST", path, **{name: f"{value}x"})
        assert body["message"] == f"{name} must be true or false"


@pytest.mark.parametrize(
    "sid",
    [
        "WK" + "0aF" * 10 + "00",
        "WK" + "0" * 31,
        "WK" + "0" * 33,
        "wk" + "0" * 32,
        "WK" + "g" * 32,
        "x" * 200,
    ],
)
def test_sid_must_have_prefix_and_32_hexadecimal_digits(taskrouter, sid):
    status, body = send_request(taskrouter, "GET", "/TaskQueues", WorkerSid=sid)
    if sid.startswith("WK0aF"):
        assert status == 200
    else:
        assert body["message"] == f"WorkerSid {sid[:100]!r} is not a valid SID"


def test_last_value_of_repeated_parameter_is_used(taskrouter):
    query = [("PageSize", "1"), ("PageSize", "2")]
    url = f"{taskrouter.url}/v1/Workspaces/{taskrouter.workspace_sid}/Activities"
    auth = (taskrouter.account_sid, taskrouter.auth_token)
    response = requests.get(url, params=query, auth=auth, timeout=5)
    assert len(response.json()["activities"]) == 2
