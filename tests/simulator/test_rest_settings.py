"""Settings for undocumented REST behavior, each tested with several values."""

import pytest
import requests
from twilio.base.exceptions import TwilioRestException

from taskrouter_simulator.rest.table import ROUTES
from taskrouter_simulator.testing import running
from tests.simulator.conftest import SPANISH, error_for, send_request


def create_reservation(taskrouter):
    """Create a Task and reserve Alice for the Task; return the Reservation."""
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    alice = workspace.workers(taskrouter.workers["Alice"])
    alice.update(activity_sid=taskrouter.activities["Idle"])
    task = workspace.tasks.create(attributes=SPANISH)
    taskrouter.advance()
    return task.reservations.list()[0]


@pytest.mark.parametrize(("status", "code"), [(400, 20001), (409, 12345)])
def test_error_for_reservation_that_is_not_pending_is_configurable(status, code):
    with running(not_pending_status=status, not_pending_code=code) as taskrouter:
        reservation = create_reservation(taskrouter)
        taskrouter.advance(1200)
        with pytest.raises(TwilioRestException) as error:
            reservation.update(reservation_status="accepted")
    assert (error.value.status, error.value.code) == (status, code)


@pytest.mark.parametrize("setting", [False, True])
def test_second_accept_succeeds_only_if_configured(setting):
    with running(accept_twice=setting) as taskrouter:
        reservation = create_reservation(taskrouter)
        reservation.update(reservation_status="accepted")
        if setting:
            second = reservation.update(reservation_status="accepted")
            assert second.reservation_status == "accepted"
            return
        with pytest.raises(TwilioRestException) as error:
            reservation.update(reservation_status="accepted")
    assert error.value.status == 400


@pytest.mark.parametrize("setting", [False, True])
def test_closing_a_task_requires_a_reason_only_if_configured(setting):
    with running(reason_required=setting) as taskrouter:
        reservation = create_reservation(taskrouter)
        reservation.update(reservation_status="accepted")
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        waiting = workspace.tasks.create(attributes="{}", task_queue_sid=any_queue_sid(taskrouter))
        workspace.tasks(reservation.task_sid).update(assignment_status="wrapping")
        for sid, status in (reservation.task_sid, "completed"), (waiting.sid, "canceled"):
            task = workspace.tasks(sid)
            for reason in None, "", " ":
                if setting:
                    message = error_for(task.update, assignment_status=status, reason=reason)
                    assert "Missing required parameter Reason in the post body" in message
            before = task.update(priority=1).assignment_status
            assert before in {"wrapping", "pending"}
            reason = {"reason": "done"} if setting else {}
            assert task.update(assignment_status=status, **reason).assignment_status == status


@pytest.mark.parametrize("status", ["wrapping", "completed"])
@pytest.mark.parametrize("setting", [None, "refused", "ignored", "updated"])
def test_attributes_sent_with_a_status_are_rejected_ignored_or_saved_as_configured(setting, status):
    settings = {"status_with_attributes": setting} if setting else {}
    changes = {"assignment_status": status, "attributes": "{}"}
    with running(**settings) as taskrouter:
        reservation = create_reservation(taskrouter)
        reservation.update(reservation_status="accepted")
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        task = workspace.tasks(reservation.task_sid)
        if setting in {None, "refused"}:
            message = f"AssignmentStatus {status} and Attributes require two separate requests"
            assert message in error_for(task.update, **changes)
            assert task.update(priority=7, attributes=SPANISH).assignment_status == "assigned"
            del changes["attributes"]
        updated = task.update(**changes)
    expected = "{}" if setting == "updated" else SPANISH
    assert (updated.assignment_status, updated.attributes) == (status, expected)


def test_task_can_be_canceled_with_new_attributes(workspace):
    task = workspace.tasks.create(attributes=SPANISH)
    canceled = task.update(assignment_status="canceled", attributes="{}")
    assert (canceled.assignment_status, canceled.attributes) == ("canceled", "{}")


def any_queue_sid(taskrouter):
    return next(iter(taskrouter.task_queues.values()))


@pytest.mark.parametrize("setting", [False, True])
def test_lists_of_workers_contain_attributes_only_if_configured(setting):
    with running(worker_lists_have_attributes=setting) as taskrouter:
        _, listed = send_request(taskrouter, "GET", "/Workers")
        for worker in listed["workers"]:
            _, fetched = send_request(taskrouter, "GET", f"/Workers/{worker['sid']}")
            assert fetched["attributes"].startswith("{")
            expected = fetched["attributes"] if setting else None
            assert worker == {**fetched, "attributes": expected}


@pytest.mark.parametrize(("setting", "etag"), [(True, '"2"'), (False, "2")])
def test_etag_is_quoted_only_if_configured(setting, etag):
    with running(etag_quoted=setting) as taskrouter:
        reservation = create_reservation(taskrouter)
        url = f"{taskrouter.url}/v1/Workspaces/{taskrouter.workspace_sid}/Tasks/"
        auth = (taskrouter.account_sid, taskrouter.auth_token)
        response = requests.get(url + reservation.task_sid, auth=auth, timeout=5)
    assert response.headers["ETag"] == etag


@pytest.mark.parametrize(("minimum", "is_accepted"), [(1, True), (5, False)])
def test_minimum_reservation_timeout_is_configurable(minimum, is_accepted):
    with running(least_reservation_timeout=minimum) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        workflow = workspace.workflows(taskrouter.workflow_sid)
        if is_accepted:
            assert workflow.update(task_reservation_timeout=1).task_reservation_timeout == 1
            return
        with pytest.raises(TwilioRestException) as error:
            workflow.update(task_reservation_timeout=1)
    assert error.value.status == 400


@pytest.mark.parametrize("newest_first", [False, True])
def test_events_are_listed_in_the_configured_order(newest_first):
    with running(events_newest_first=newest_first) as taskrouter:
        create_reservation(taskrouter)
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        types = [event.event_type for event in workspace.events.list()]
    created, reserved = types.index("task.created"), types.index("reservation.created")
    assert (reserved < created) is newest_first


@pytest.fixture(scope="module")
def strict_simulator():
    """A simulator that rejects unknown parameters."""
    with running(unknown_parameters="refused") as taskrouter:
        yield taskrouter


UNKNOWN = [
    ("GET", "/Tasks", "Asignmentstatus", "AssignmentStatus"),
    ("GET", "/Tasks", "pageSize", "PageSize"),
    ("GET", "/Workers", "TargetWorkerExpression", "TargetWorkersExpression"),
    ("GET", "/Events", "event_type", "EventType"),
    ("GET", "/TaskChannels", "Pagetoken", "PageToken"),
    ("POST", "/Tasks", "attributes", "Attributes"),
    ("POST", "/Tasks", "WorkFlowSid", "WorkflowSid"),
    ("POST", "/Workers", "ActivtySid", "ActivitySid"),
    ("POST", "", "EventCallbackURL", "EventCallbackUrl"),
    ("POST", "/Workers/{worker}", "RejectPendingReservation", "RejectPendingReservations"),
    ("POST", "/Workers/{worker}/Channels/voice", "capacity", "Capacity"),
]


@pytest.mark.parametrize(("method", "path", "name", "similar"), UNKNOWN)
def test_strict_simulator_rejects_unknown_parameter_and_suggests_similar_name(
    strict_simulator, method, path, name, similar
):
    path = path.format(worker=strict_simulator.workers["Alice"])
    status, body = send_request(strict_simulator, method, path, **{name: "1"})
    assert (status, body["code"]) == (400, 20001)
    assert body["message"] == f"Unknown parameter {name!r}; did you mean {similar}?"
    assert body["more_info"] == "https://www.twilio.com/docs/errors/20001"


@pytest.mark.parametrize(
    ("method", "path"), [(method, path) for path, item in ROUTES.items() for method in item]
)
@pytest.mark.parametrize("location", ["params", "data"])
def test_strict_simulator_rejects_unknown_parameter_in_every_operation(
    strict_simulator, method, path, location
):
    sid = "WK" + "0" * 32
    sids = dict.fromkeys(("task", "task_queue", "workflow", "sid"), sid)
    url = strict_simulator.url + path.format(
        workspace=strict_simulator.workspace_sid, worker=strict_simulator.workers["Alice"], **sids
    )
    auth = (strict_simulator.account_sid, strict_simulator.auth_token)
    valid = {"FriendlyName": "New", "UniqueName": "new"} if method == "POST" else {}
    values = {location: {**valid, "Xyzzy": "1"}}
    if location == "data" and ROUTES[path][method].is_json:
        values = {"json": {"Xyzzy": ["1"]}}
    before = strict_simulator._request("GET", "")
    response = requests.request(method, url, auth=auth, timeout=5, **values)
    assert response.status_code == 400
    assert response.json()["message"].startswith("Unknown parameter '")
    assert strict_simulator._request("GET", "") == before


def test_unknown_parameters_are_ignored_by_default(taskrouter):
    status, body = send_request(taskrouter, "GET", "/Workers", Xyzzy="1")
    assert (status, len(body["workers"])) == (200, 2)
    status, _ = send_request(taskrouter, "POST", "/Workers", FriendlyName="New", Xyzzy="1")
    assert status == 201


def test_form_parameter_in_query_string_is_unknown(strict_simulator):
    auth = (strict_simulator.account_sid, strict_simulator.auth_token)
    url = f"{strict_simulator.url}/v1/Workspaces/{strict_simulator.workspace_sid}/Workers"
    name = {"FriendlyName": "New"}
    response = requests.post(url, auth=auth, params=name, data=name, timeout=5)
    assert response.status_code == 400
    assert "FriendlyName" in response.json()["message"]


def test_unknown_path_and_method_are_reported_before_unknown_parameter(strict_simulator):
    for method, path, status in (("GET", "/Nothing", 404), ("PUT", "/Workers", 405)):
        assert send_request(strict_simulator, method, path, Xyzzy="1")[0] == status
