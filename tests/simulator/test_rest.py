"""Over HTTP, with the unmodified Twilio SDK."""

import json
import time

import pytest
from twilio.base.exceptions import TwilioRestException, TwilioServiceException
from twilio.rest import Client

from taskrouter_simulator.testing import running


@pytest.fixture
def workspace(taskrouter):
    return taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)


def test_the_quickstart_by_sdk(taskrouter, workspace):
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
    (mine,) = alice.reservations.list(reservation_status="accepted")
    assert mine.sid == reservation.sid


def test_a_workspace_from_nothing(taskrouter):
    workspaces = taskrouter.client().taskrouter.v1.workspaces
    made = workspaces.create(friendly_name="Sales", multi_task_enabled=False)
    activities = {one.friendly_name: one.sid for one in made.activities.list()}
    assert list(activities) == ["Offline", "Available", "Unavailable"]
    assert made.default_activity_name == made.timeout_activity_name == "Offline"
    queue = made.task_queues.create(friendly_name="All", target_workers="1==1")
    configuration = json.dumps({"task_routing": {"default_filter": {"queue": queue.sid}}})
    made.workflows.create(friendly_name="Main", configuration=configuration)
    worker = made.workers.create(friendly_name="Carol", activity_sid=activities["Available"])
    task = made.tasks.create(attributes="{}")
    taskrouter.advance()
    (reservation,) = made.workers(worker.sid).fetch().reservations.list()
    assert reservation.task_sid == task.sid
    rejected = (
        made.workers(worker.sid)
        .reservations(reservation.sid)
        .update(reservation_status="rejected", worker_activity_sid=activities["Offline"])
    )
    assert rejected.reservation_status == "rejected"
    made.tasks(task.sid).update(assignment_status="canceled", reason="enough")
    assert made.tasks(task.sid).fetch().reason == "enough"
    made.delete()
    with pytest.raises(TwilioRestException) as refused:
        workspaces(made.sid).fetch()
    assert refused.value.status == 404


@pytest.mark.parametrize(
    "url", ["nowhere", "ftp://a/b", "http://", "http://a b/", "http://a/\r\nX: y", "http://[", "ü"]
)
def test_a_callback_url_must_be_one(taskrouter, workspace, url):
    with pytest.raises(TwilioRestException, match="AssignmentCallbackUrl is not a valid URL"):
        workspace.workflows(taskrouter.workflow_sid).update(assignment_callback_url=url)


def test_both_pairs_of_credentials_open_it(taskrouter):
    token = Client(taskrouter.account_sid, taskrouter.auth_token)
    token.taskrouter.base_url = taskrouter.url
    assert token.taskrouter.v1.workspaces.list()[0].sid == taskrouter.workspace_sid
    assert taskrouter.client().taskrouter.v1.workspaces.list()


def test_wrong_credentials_are_refused_as_twilio_does(taskrouter):
    client = Client(taskrouter.account_sid, "wrong")
    client.taskrouter.base_url = taskrouter.url
    with pytest.raises(TwilioRestException) as refused:
        client.taskrouter.v1.workspaces(taskrouter.workspace_sid).fetch()
    assert (refused.value.status, refused.value.code) == (401, 20003)


def test_an_unknown_sid_is_twilios_404(workspace):
    with pytest.raises(TwilioRestException) as refused:
        workspace.tasks("WT" + "0" * 32).fetch()
    assert (refused.value.status, refused.value.code) == (404, 20404)
    assert f"The requested resource /Workspaces/{workspace._solution['sid']}/Tasks/WT0" in (
        refused.value.msg
    )


def test_an_ended_reservation_is_twilios_400(taskrouter, workspace):
    workspace.workers(taskrouter.workers["Alice"]).update(
        activity_sid=taskrouter.activities["Idle"]
    )
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance(1200)
    (reservation,) = task.reservations.list()
    with pytest.raises(TwilioRestException, match="not currently in a Pending state") as refused:
        reservation.update(reservation_status="accepted")
    assert (refused.value.status, refused.value.code) == (400, 20001)
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
def test_a_bad_parameter_is_twilios_400(workspace, options):
    with pytest.raises(TwilioRestException) as refused:
        workspace.tasks.create(**{"attributes": "{}", **options})
    assert (refused.value.status, refused.value.code) == (400, 20001)


def test_errors_can_be_problem_documents():
    with running(problem_details=True) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        with pytest.raises(TwilioServiceException) as refused:
            workspace.tasks("WT" + "0" * 32).fetch()
        assert (refused.value.status, refused.value.code) == (404, 20404)
        taskrouter.fault("request", "error", status=429)
        with pytest.raises(TwilioServiceException) as refused:
            workspace.fetch()
        assert (refused.value.status, refused.value.code) == (429, 20429)


def test_an_update_that_is_refused_changes_nothing(workspace):
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    with pytest.raises(TwilioRestException):
        task.update(assignment_status="canceled", task_channel="telepathy")
    assert task.fetch().assignment_status == "pending"


def test_lists_show_tasks_without_their_attributes(workspace):
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    assert workspace.tasks.list()[0].attributes is None
    assert workspace.tasks(task.sid).fetch().attributes == '{"selected_language": "es"}'


def test_lists_come_in_pages_that_the_sdk_follows(workspace):
    made = [workspace.tasks.create(attributes='{"selected_language": "es"}').sid for _ in range(7)]
    assert [task.sid for task in workspace.tasks.list(page_size=3)] == made
    assert [task.sid for task in workspace.tasks.list(page_size=3, limit=4)] == made[:4]


def test_lists_are_filtered(taskrouter, workspace):
    first = workspace.tasks.create(attributes='{"selected_language": "es"}')
    second = workspace.tasks.create(attributes='{"selected_language": "en"}', priority=5)
    workspace.tasks(first.sid).update(assignment_status="canceled")
    by_status = workspace.tasks.list(assignment_status=["pending", "reserved"])
    assert [one.sid for one in by_status] == [second.sid]
    found = workspace.tasks.list(evaluate_task_attributes="selected_language == 'en'")
    assert [one.sid for one in found] == [second.sid]
    ordered = workspace.tasks.list(ordering="Priority:desc")
    assert [one.sid for one in ordered] == [second.sid, first.sid]
    spanish = workspace.workers.list(target_workers_expression='languages HAS "es"')
    assert [one.friendly_name for one in spanish] == ["Alice"]
    queued = workspace.workers.list(task_queue_sid=next(iter(taskrouter.task_queues.values())))
    assert [one.friendly_name for one in queued] == ["Alice"]


def test_an_old_version_is_not_updated(taskrouter, workspace):
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    workspace.tasks(task.sid).update(priority=1)
    with pytest.raises(TwilioRestException) as refused:
        workspace.tasks(task.sid).update(priority=2, if_match='"0"')
    assert refused.value.status == 412
    assert workspace.tasks(task.sid).fetch().priority == 1


def test_completing_what_is_not_assigned_is_refused_in_twilios_words(workspace):
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    with pytest.raises(TwilioRestException, match="because it is not currently assigned"):
        workspace.tasks(task.sid).update(assignment_status="completed")


def test_a_reservation_completes_with_its_task(taskrouter, workspace):
    workspace.workers(taskrouter.workers["Alice"]).update(
        activity_sid=taskrouter.activities["Idle"]
    )
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance()
    (reservation,) = task.reservations.list()
    reservation.update(reservation_status="accepted")
    assert reservation.update(reservation_status="completed").reservation_status == "completed"
    assert task.fetch().assignment_status == "completed"


def test_pending_reservations_are_rejected_with_a_move_to_an_unavailable_activity(
    taskrouter, workspace
):
    alice = workspace.workers(taskrouter.workers["Alice"])
    alice.update(activity_sid=taskrouter.activities["Idle"])
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance()
    with pytest.raises(TwilioRestException, match="Unable to reject pending reservations"):
        alice.update(activity_sid=taskrouter.activities["Idle"], reject_pending_reservations=True)
    alice.update(activity_sid=taskrouter.activities["Offline"], reject_pending_reservations=True)
    assert task.reservations.list()[0].reservation_status == "rejected"
    assert alice.fetch().activity_name == "Offline"


def test_a_reset_begins_anew(taskrouter, workspace):
    workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.reset()
    assert taskrouter.log() == []
    assert workspace.tasks.list() == []


def test_in_real_time_a_reservation_times_out_by_itself():
    with running(frozen_clock=False, reservation_timeout=1) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        alice = workspace.workers(taskrouter.workers["Alice"])
        alice.update(activity_sid=taskrouter.activities["Idle"])
        task = workspace.tasks.create(attributes='{"selected_language": "es"}')
        assert task.fetch().assignment_status == "reserved"
        until = time.monotonic() + 10
        while task.fetch().assignment_status == "reserved":
            assert time.monotonic() < until
        assert alice.fetch().activity_name == "Offline"
