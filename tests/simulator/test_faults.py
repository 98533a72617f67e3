"""Fault injection into REST requests and callbacks."""

import math
import time

import pytest
import requests
from twilio.base.exceptions import TwilioRestException

from taskrouter_simulator.faults import FaultError, Faults
from taskrouter_simulator.testing import running

TASKS = "/v1/Workspaces/*/Tasks"


def create_task(workspace):
    return workspace.tasks.create(attributes='{"selected_language": "es"}')


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("status", [429, 500, 503])
def test_error_is_injected_before_or_after_the_request_takes_effect(
    taskrouter, workspace, status, moment
):
    taskrouter.fault("request", "error", method="POST", path=TASKS, status=status, moment=moment)
    with pytest.raises(TwilioRestException) as error:
        create_task(workspace)
    assert error.value.status == status
    assert error.value.code == (20429 if status == 429 else 20500)
    assert len(workspace.tasks.list()) == (1 if moment == "after" else 0)
    create_task(workspace)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_connection_is_cut_before_or_after_the_request_takes_effect(taskrouter, workspace, moment):
    taskrouter.fault("request", "cut", method="POST", path=TASKS, moment=moment)
    with pytest.raises(requests.ConnectionError):
        create_task(workspace)
    assert len(workspace.tasks.list()) == (1 if moment == "after" else 0)
    assert [entry["fault"] for entry in taskrouter.log("request")] == [f"cut {moment}", None]


def test_retry_after_header_is_sent_only_if_configured(taskrouter):
    url = f"{taskrouter.url}/v1/Workspaces"
    auth = (taskrouter.account_sid, taskrouter.auth_token)
    taskrouter.fault("request", "error", status=429, retry_after=7)
    assert requests.get(url, auth=auth, timeout=5).headers["Retry-After"] == "7"
    taskrouter.fault("request", "error", status=429)
    assert "Retry-After" not in requests.get(url, auth=auth, timeout=5).headers


def test_settings_define_rate_limit_headers():
    with running(retry_after=3, rate_limit=100) as taskrouter:
        url = f"{taskrouter.url}/v1/Workspaces"
        auth = (taskrouter.account_sid, taskrouter.auth_token)
        taskrouter.fault("request", "error", status=429)
        throttled = requests.get(url, auth=auth, timeout=5).headers
        assert throttled["Retry-After"] == "3"
        limits = ["X-Rate-Limit-Limit", "X-Rate-Limit-Config", "X-Rate-Limit-Remaining"]
        assert [throttled[name] for name in limits] == ["100", "100", "0"]
        taskrouter.fault("request", "error", status=429, retry_after=7)
        assert requests.get(url, auth=auth, timeout=5).headers["Retry-After"] == "7"
        success = requests.get(url, auth=auth, timeout=5).headers
        assert [success[name] for name in limits] == ["100", "100", "100"]
        assert "Retry-After" not in success


@pytest.mark.parametrize("moment", ["before", "after"])
def test_request_latency_is_in_real_time(taskrouter, workspace, moment):
    taskrouter.fault("request", "latency", seconds=0.2, moment=moment)
    start = time.monotonic()
    create_task(workspace)
    assert time.monotonic() - start >= 0.2


def test_fault_affects_given_number_of_requests(taskrouter, workspace):
    taskrouter.fault("request", "error", path=TASKS, times=2)
    for _ in range(2):
        with pytest.raises(TwilioRestException):
            create_task(workspace)
    create_task(workspace)


def test_exhausted_fault_is_removed():
    faults = Faults()
    faults.add({"on": "request", "kind": "cut", "times": 2})
    assert [faults.take("request", "GET", "/v1/Workspaces") is None for _ in range(3)] == [
        False, False, True,
    ]  # fmt: skip
    assert faults.pending() == []


def test_faults_can_be_removed(taskrouter, workspace):
    taskrouter.fault("request", "error", times=None)
    taskrouter.clear_faults()
    create_task(workspace)


@pytest.mark.parametrize(
    "description",
    [
        {},
        {"on": "request"},
        {"on": "moon", "kind": "cut"},
        {"on": "request", "kind": "duplicate"},
        {"on": "assignment", "kind": "error"},
        {"on": "request", "kind": "cut", "moment": "during"},
        {"on": "request", "kind": "cut", "path": 1},
        {"on": "request", "kind": "cut", "method": 1},
        {"on": "request", "kind": "latency", "seconds": -1},
        {"on": "request", "kind": "latency", "seconds": True},
        {"on": "request", "kind": "error", "status": 200},
        {"on": "request", "kind": "error", "status": "500"},
        {"on": "request", "kind": "error", "status": 500.0},
        {"on": "request", "kind": "latency", "seconds": 10**400},
        {"on": "request", "kind": "latency", "seconds": math.nan},
        {"on": "request", "kind": "error", "retry_after": 1.5},
        {"on": "request", "kind": "error", "times": -1},
        {"on": "request", "kind": "error", "times": 0},
        {"on": "request", "kind": "error", "times": 1.0},
        {"on": "request", "kind": "error", "times": True},
        {"on": "request", "kind": "error", "method": "post"},
        {"on": "request", "kind": "error", "method": ""},
        {"on": "event", "kind": "cut", "method": "GET"},
        {"on": "request", "kind": "error", "path": ""},
        {"on": "request", "kind": "error", "path": "v1/Workspaces"},
        {"on": "request", "kind": "cut", "path": "Tasks"},
        {"on": "request", "kind": "latency"},
        {"on": "event", "kind": "latency", "seconds": 0},
        {"on": "request", "kind": "cut", "seconds": 1},
        {"on": "request", "kind": "latency", "seconds": 1, "status": 500},
        {"on": "assignment", "kind": "duplicate", "status": 500},
        {"on": "request", "kind": "cut", "retry_after": 1},
        {"on": "event", "kind": "duplicate", "moment": "after"},
        {"on": "twiml", "kind": "latency", "seconds": 1, "moment": "after"},
        {"on": "request", "kind": "error", "id": 1},
        {"on": ["request"], "kind": "error"},
    ],
)
def test_invalid_fault_is_rejected(description):
    with pytest.raises(FaultError):
        Faults().add(description)


def test_valid_faults_are_accepted():
    faults = Faults()
    for description in (
        {"on": "request", "kind": "cut", "status": 503, "moment": "after", "times": None},
        {"on": "request", "kind": "error", "method": "PATCH", "path": "?v1*", "retry_after": 0},
        {"on": "twiml", "kind": "cut", "moment": "after", "method": "POST", "path": "*/voice"},
        {"on": "event", "kind": "duplicate", "moment": "before"},
        {"on": "event", "kind": "latency", "seconds": 0.1},
    ):
        faults.add(description)
    assert len(faults.pending()) == 5


def test_control_routes_reject_invalid_requests(taskrouter):
    for path in ("clock", "faults", "reset"):
        for body in (
            "no json",
            "[]",
            '{"on": 1, "advance": "x", "friendly_name": 1}',
            '{"advance": 1%s}' % ("0" * 400),
            '{"advance": NaN}',
        ):
            response = requests.post(f"{taskrouter.url}/simulator/{path}", data=body, timeout=5)
            assert response.status_code == 400
            assert response.json()["message"]
    assert requests.get(f"{taskrouter.url}/simulator/log?after=x", timeout=5).status_code == 400


@pytest.fixture
def app_and_taskrouter(app):
    with running(callback_base_url=app.url, fallback_path="/fallback") as taskrouter:
        yield app, taskrouter


def offer_task(taskrouter):
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    workspace.workers(taskrouter.workers["Alice"]).update(
        activity_sid=taskrouter.activities["Idle"]
    )
    task = create_task(workspace)
    taskrouter.advance()
    return task


def test_duplicate_fault_sends_callback_twice_with_the_same_idempotency_token(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    taskrouter.fault("assignment", "duplicate")
    offer_task(taskrouter)
    first, second = app.received
    assert first["parameters"] == second["parameters"]
    token = "I-Twilio-Idempotency-Token"
    assert first["headers"][token] == second["headers"][token]


def test_callback_latency_is_in_simulated_time(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    taskrouter.fault("assignment", "latency", seconds=1300)
    app.set_response("/assignment_callback", {"instruction": "accept"})
    task = offer_task(taskrouter)
    taskrouter.advance(1299)
    assert app.received == []
    taskrouter.advance(1)
    assert len(app.received) == 1
    assert [item.reservation_status for item in task.reservations.list()] == ["timeout"]
    assert [alert["code"] for alert in taskrouter.log("alert")] == [20001]


def test_callback_that_is_cut_before_sending_is_retried_once_and_then_triggers_fallback(
    app_and_taskrouter,
):
    app, taskrouter = app_and_taskrouter
    taskrouter.fault("assignment", "cut", moment="before")
    offer_task(taskrouter)
    assert [entry["attempt"] for entry in taskrouter.log("assignment")] == [1, 2]
    assert [request["path"] for request in app.received] == ["/fallback"]


def test_callback_with_lost_response_triggers_fallback(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    taskrouter.fault("assignment", "cut", moment="after")
    app.set_response("/assignment_callback", {"instruction": "accept"})
    task = offer_task(taskrouter)
    assert [request["path"] for request in app.received] == ["/assignment_callback", "/fallback"]
    assert task.fetch().assignment_status == "reserved"
