"""The REST API, called in most tests with Twilio's unmodified SDK."""

import json
import time

import pytest
import requests
from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.rest import Client

from taskrouter_simulator.testing import running


def test_quickstart_works_with_sdk(taskrouter, workspace):
    task = workspace.tasks.create(
        attributes='{"selected_language": "es"}', workflow_sid=taskrouter.workflow_sid
    )
    assert task.assignment_status == "pending"
    alice = workspace.workers(taskrouter.workers["Alice"])
    assert alice.update(activity_sid=taskrouter.activities["Idle"]).activity_name == "Idle"
    (reservation,) = workspace.tasks(task.sid).reservations.list()
    assert (reservation.reservation_status, reservation.worker_name) == ("pending", "Alice")
    assert workspace.tasks(task.sid).fetch().assignment_status == "reserved"
    assert alice.fetch().activity_name == "Reserved"
    assert reservation.update(reservation_status="accepted").reservation_status == "accepted"
    assert workspace.tasks(task.sid).fetch().assignment_status == "assigned"
    assert alice.fetch().activity_name == "Busy"
    (worker_reservation,) = alice.reservations.list(reservation_status="accepted")
    assert worker_reservation.sid == reservation.sid


def test_new_workspace_can_be_set_up_and_deleted(taskrouter):
    workspaces = taskrouter.client().taskrouter.v1.workspaces
    workspace = workspaces.create(friendly_name="Sales", multi_task_enabled=False)
    activities = {activity.friendly_name: activity.sid for activity in workspace.activities.list()}
    assert list(activities) == ["Offline", "Available", "Unavailable"]
    assert workspace.default_activity_name == workspace.timeout_activity_name == "Offline"
    queue = workspace.task_queues.create(friendly_name="All", target_workers="1==1")
    configuration = json.dumps({"task_routing": {"default_filter": {"queue": queue.sid}}})
    workspace.workflows.create(friendly_name="Main", configuration=configuration)
    worker = workspace.workers.create(friendly_name="Carol", activity_sid=activities["Available"])
    task = workspace.tasks.create(attributes="{}")
    taskrouter.advance()
    (reservation,) = workspace.workers(worker.sid).fetch().reservations.list()
    assert reservation.task_sid == task.sid
    rejected = (
        workspace.workers(worker.sid)
        .reservations(reservation.sid)
        .update(reservation_status="rejected", worker_activity_sid=activities["Offline"])
    )
    assert rejected.reservation_status == "rejected"
    workspace.tasks(task.sid).update(assignment_status="canceled", reason="enough")
    assert workspace.tasks(task.sid).fetch().reason == "enough"
    workspace.delete()
    with pytest.raises(TwilioRestException) as error:
        workspaces(workspace.sid).fetch()
    assert error.value.status == 404


@pytest.mark.parametrize(
    "url", ["nowhere", "ftp://a/b", "http://", "http://a b/", "http://a/\r\nX: y", "http://[", "ü"]
)
def test_invalid_callback_url_is_rejected(taskrouter, workspace, url):
    with pytest.raises(TwilioRestException, match="AssignmentCallbackUrl is not a valid URL"):
        workspace.workflows(taskrouter.workflow_sid).update(assignment_callback_url=url)


def test_auth_token_and_api_key_are_accepted(taskrouter):
    token_client = Client(taskrouter.account_sid, taskrouter.auth_token)
    token_client.taskrouter.base_url = taskrouter.url
    assert token_client.taskrouter.v1.workspaces.list()[0].sid == taskrouter.workspace_sid
    assert taskrouter.client().taskrouter.v1.workspaces.list()


def test_wrong_credentials_return_401(taskrouter):
    client = Client(taskrouter.account_sid, "wrong")
    client.taskrouter.base_url = taskrouter.url
    with pytest.raises(TwilioRestException) as error:
        client.taskrouter.v1.workspaces(taskrouter.workspace_sid).fetch()
    assert (error.value.status, error.value.code) == (401, 20003)


def test_unknown_sid_returns_404(workspace):
    with pytest.raises(TwilioRestException) as error:
        workspace.tasks("WT" + "0" * 32).fetch()
    assert (error.value.status, error.value.code) == (404, 20404)
    assert f"The requested resource /Workspaces/{workspace._solution['sid']}/Tasks/WT0" in (
        error.value.msg
    )


def test_accepting_ended_reservation_returns_400(taskrouter, workspace):
    workspace.workers(taskrouter.workers["Alice"]).update(
        activity_sid=taskrouter.activities["Idle"]
    )
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance(1200)
    (reservation,) = task.reservations.list()
    with pytest.raises(TwilioRestException, match="not currently in a Pending state") as error:
        reservation.update(reservation_status="accepted")
    assert (error.value.status, error.value.code) == (400, 20001)
    assert reservation.fetch().reservation_status == "timeout"


@pytest.mark.parametrize(
    "options",
    [
        {"attributes": "no json"},
        {"attributes": "[1]"},
        {"attributes": '{"a": NaN}'},
        {"attributes": json.dumps({"a": "x" * 4096})},
        {"priority": -1},
        {"timeout": 0},
        {"task_channel": "telepathy"},
        {"workflow_sid": "WW" + "0" * 32},
    ],
)
def test_invalid_parameter_returns_400(workspace, options):
    with pytest.raises(TwilioRestException) as error:
        workspace.tasks.create(**{"attributes": "{}", **options})
    assert (error.value.status, error.value.code) == (400, 20001)


def test_errors_are_problem_details_if_configured():
    with running(problem_details=True) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        with pytest.raises(TwilioServiceException) as error:
            workspace.tasks("WT" + "0" * 32).fetch()
        assert (error.value.status, error.value.code) == (404, 20404)
        taskrouter.fault("request", "error", status=429)
        with pytest.raises(TwilioServiceException) as error:
            workspace.fetch()
        assert (error.value.status, error.value.code) == (429, 20429)


def test_rejected_update_changes_nothing(workspace):
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    with pytest.raises(TwilioRestException):
        task.update(assignment_status="canceled", task_channel="telepathy")
    assert task.fetch().assignment_status == "pending"


def test_attributes_are_null_in_task_list(workspace):
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    assert workspace.tasks.list()[0].attributes is None
    assert workspace.tasks(task.sid).fetch().attributes == '{"selected_language": "es"}'


def test_sdk_fetches_every_page_of_a_list(workspace):
    created = [
        workspace.tasks.create(attributes='{"selected_language": "es"}').sid for _ in range(7)
    ]
    assert [task.sid for task in workspace.tasks.list(page_size=3)] == created
    assert [task.sid for task in workspace.tasks.list(page_size=3, limit=4)] == created[:4]


def test_lists_can_be_filtered_and_ordered(taskrouter, workspace):
    first = workspace.tasks.create(attributes='{"selected_language": "es"}')
    second = workspace.tasks.create(attributes='{"selected_language": "en"}', priority=5)
    workspace.tasks(first.sid).update(assignment_status="canceled")
    by_status = workspace.tasks.list(assignment_status=["pending", "reserved"])
    assert [task.sid for task in by_status] == [second.sid]
    english = workspace.tasks.list(evaluate_task_attributes="selected_language == 'en'")
    assert [task.sid for task in english] == [second.sid]
    ordered = workspace.tasks.list(ordering="Priority:desc")
    assert [task.sid for task in ordered] == [second.sid, first.sid]
    spanish = workspace.workers.list(target_workers_expression='languages HAS "es"')
    assert [worker.friendly_name for worker in spanish] == ["Alice"]
    queue_workers = workspace.workers.list(
        task_queue_sid=next(iter(taskrouter.task_queues.values()))
    )
    assert [worker.friendly_name for worker in queue_workers] == ["Alice"]


def test_update_with_outdated_if_match_header_returns_412(taskrouter, workspace):
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    workspace.tasks(task.sid).update(priority=1)
    with pytest.raises(TwilioRestException) as error:
        workspace.tasks(task.sid).update(priority=2, if_match='"0"')
    assert error.value.status == 412
    assert workspace.tasks(task.sid).fetch().priority == 1


def test_completing_unassigned_task_is_rejected(workspace):
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    with pytest.raises(TwilioRestException, match="because it is not currently assigned"):
        workspace.tasks(task.sid).update(assignment_status="completed")


def test_completing_reservation_completes_task(taskrouter, workspace):
    workspace.workers(taskrouter.workers["Alice"]).update(
        activity_sid=taskrouter.activities["Idle"]
    )
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance()
    (reservation,) = task.reservations.list()
    reservation.update(reservation_status="accepted")
    assert reservation.update(reservation_status="completed").reservation_status == "completed"
    assert task.fetch().assignment_status == "completed"


def test_worker_update_can_reject_pending_reservations(taskrouter, workspace):
    alice = workspace.workers(taskrouter.workers["Alice"])
    alice.update(activity_sid=taskrouter.activities["Idle"])
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance()
    with pytest.raises(TwilioRestException, match="Unable to reject pending reservations"):
        alice.update(activity_sid=taskrouter.activities["Idle"], reject_pending_reservations=True)
    alice.update(activity_sid=taskrouter.activities["Offline"], reject_pending_reservations=True)
    assert task.reservations.list()[0].reservation_status == "rejected"
    assert alice.fetch().activity_name == "Offline"


def test_reset_clears_tasks_and_log(taskrouter, workspace):
    workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.reset()
    assert taskrouter.log() == []
    assert workspace.tasks.list() == []


def test_reservation_times_out_in_real_time():
    with running(frozen_clock=False, reservation_timeout=1) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        alice = workspace.workers(taskrouter.workers["Alice"])
        alice.update(activity_sid=taskrouter.activities["Idle"])
        task = workspace.tasks.create(attributes='{"selected_language": "es"}')
        assert task.fetch().assignment_status == "reserved"
        deadline = time.monotonic() + 10
        while task.fetch().assignment_status == "reserved":
            assert time.monotonic() < deadline
        assert alice.fetch().activity_name == "Offline"


def test_deeply_nested_attributes_never_cause_server_error(taskrouter):
    def create(depth):
        attributes = '{"a": ' + "[" * depth + "]" * depth + "}"
        return requests.post(
            f"{taskrouter.url}/v1/Workspaces/{taskrouter.workspace_sid}/Tasks",
            data={"Attributes": attributes, "WorkflowSid": taskrouter.workflow_sid},
            auth=(taskrouter.account_sid, taskrouter.auth_token),
            timeout=5,
        ).status_code

    assert {create(depth) for depth in (1, 100, 500)} == {201}
    assert {create(depth) for depth in (*range(700, 1_000, 7), 2_000)} <= {201, 400}
    assert create(2_000) == 400


@pytest.mark.parametrize("byte_order_mark", [b"", b"\xef\xbb\xbf"])
def test_form_may_begin_with_a_byte_order_mark(taskrouter, byte_order_mark):
    response = requests.post(
        f"{taskrouter.url}/v1/Workspaces/{taskrouter.workspace_sid}/Tasks",
        data=byte_order_mark + f"Attributes=%7B%7D&WorkflowSid={taskrouter.workflow_sid}".encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded"},
        auth=(taskrouter.account_sid, taskrouter.auth_token),
        timeout=5,
    )
    assert (response.status_code, response.json()["attributes"]) == (201, "{}")
