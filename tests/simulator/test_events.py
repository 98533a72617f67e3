"""Events: their order, their parameters, their callback, the Events resource."""

import json

import pytest
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator

from simulator.engine import assignments, channels, workers
from simulator.engine.core import EventCallback
from simulator.engine.events import wanted
from simulator.identifiers import made_up
from simulator.testing import running

DOCUMENTED = {
    *(f"activity.{what}" for what in ("created", "updated", "deleted")),
    *(
        f"reservation.{what}"
        for what in ("created", "accepted", "rejected", "timeout", "canceled", "rescinded",
                     "completed", "wrapup")
    ),
    *(
        f"task.{what}"
        for what in ("created", "updated", "canceled", "wrapup", "completed", "deleted",
                     "system-deleted")
    ),
    *(f"task-channel.{what}" for what in ("created", "updated", "deleted")),
    *(
        f"task-queue.{what}"
        for what in ("created", "deleted", "entered", "timeout", "moved", "expression.updated")
    ),
    *(
        f"worker.{what}"
        for what in ("created", "activity.update", "attributes.update", "capacity.update",
                     "channel.availability.update", "deleted")
    ),
    *(
        f"workflow.{what}"
        for what in ("created", "updated", "deleted", "target-matched", "entered", "timeout",
                     "skipped")
    ),
    *(f"workspace.{what}" for what in ("created", "updated", "deleted")),
}  # fmt: skip
"""All of Twilio's, but for transfers and `reservation.failed`, which nothing here can cause."""


def published(story):
    return list(story.workspace.events.values())


def test_the_events_of_the_quickstart_come_in_order(story):
    story.move(story.alice, "Idle")
    before = len(published(story))
    task = story.task()
    assignments.accept(story.engine, story.workspace, story.reservations(task)[0])
    assignments.complete(story.engine, story.workspace, task)
    assert [event.event_type for event in published(story)[before:]] == [
        "task.created",
        "workflow.entered",
        "workflow.target-matched",
        "task-queue.entered",
        "reservation.created",
        "worker.activity.update",
        "reservation.accepted",
        "worker.activity.update",
        "reservation.completed",
        "task.completed",
    ]


def test_a_reservation_event_carries_task_worker_queue_and_workflow(story):
    task, reservation = story.reserved()
    event = next(one for one in published(story) if one.event_type == "reservation.created")
    queue = story.workspace.queues[task.queue_sid]
    assert event.parameters == {
        "Sid": event.sid,
        "EventType": "reservation.created",
        "EventDescription": f"Reservation {reservation.sid} created",
        "AccountSid": story.engine.account_sid,
        "WorkspaceSid": story.workspace.sid,
        "WorkspaceName": "Quickstart",
        "ResourceType": "reservation",
        "ResourceSid": reservation.sid,
        "Timestamp": "1700000000",
        "TimestampMs": "1700000000000",
        "ReservationSid": reservation.sid,
        "TaskSid": task.sid,
        "TaskAttributes": task.attributes,
        "TaskAge": "0",
        "TaskPriority": "0",
        "TaskAssignmentStatus": "reserved",
        "TaskAddons": "{}",
        "TaskChannelSid": task.channel_sid,
        "TaskChannelUniqueName": "default",
        "WorkflowSid": task.workflow_sid,
        "WorkflowName": "Incoming Customer Care Requests",
        "WorkflowFilterName": "Spanish",
        "WorkflowFilterExpression": "selected_language=='es'",
        "TaskQueueSid": queue.sid,
        "TaskQueueName": "Customer Care Requests - Spanish",
        "TaskQueueTargetExpression": 'languages HAS "es"',
        "WorkerSid": story.alice.sid,
        "WorkerName": "Alice",
        "WorkerAttributes": '{"languages": ["en", "es"]}',
        "WorkerActivitySid": story.activity_sid("Idle"),
        "WorkerActivityName": "Idle",
        "WorkerVersion": event.parameters["WorkerVersion"],
        "OperatingUnitSid": "OU" + made_up("operating-unit"),
    }


def test_an_activity_event_tells_the_activity_before_and_how_long_it_lasted(story):
    story.clock.advance(26.123)
    workers.set_activity(story.engine, story.workspace, story.alice, story.activity_sid("Busy"))
    parameters = published(story)[-1].parameters
    assert parameters["WorkerActivityName"] == "Busy"
    assert parameters["WorkerPreviousActivityName"] == "Offline"
    assert parameters["WorkerTimeInPreviousActivity"] == "26"
    assert parameters["WorkerTimeInPreviousActivityMs"].startswith("2612")


def test_a_canceled_task_tells_why(story):
    task = story.task(timeout=1)
    story.clock.advance(1)
    parameters = published(story)[-1].parameters
    assert parameters["EventType"] == "task.canceled"
    assert parameters["TaskCanceledReason"] == "Task TTL Exceeded"
    assert task.status == "canceled"


def test_a_change_of_capacity_is_an_event(story):
    share = next(iter(story.alice.channels.values()))
    channels.change_share(story.engine, story.workspace, story.alice, share, capacity=4)
    channels.change_share(story.engine, story.workspace, story.alice, share, available=False)
    channels.change_share(story.engine, story.workspace, story.alice, share, available=False)
    assert story.events("worker.c")[2:] == [
        "worker.capacity.update", "worker.channel.availability.update"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "kept"),
    [("", True), ("task.created", True), ("task.canceled, task.created", True),
     ("task.canceled", False), ("task", False), (",", True)],
)  # fmt: skip
def test_the_filter_lists_the_types_that_are_wanted(story, text, kept):
    story.workspace.events_filter = text
    assert wanted(story.workspace, "task.created") is kept


def test_without_a_url_nothing_is_sent(story):
    story.reserved()
    assert not [one for one in story.effects if isinstance(one, EventCallback)]


@pytest.fixture
def pair(app):
    app.answers["/events"] = (204, "application/json", b"")
    settings = {"callback_base_url": app.url, "event_path": "/events", "assignment_path": ""}
    with running(**settings, event_callback_seconds=0.3) as taskrouter:
        yield app, taskrouter


def test_events_are_posted_signed_and_filtered(pair):
    app, taskrouter = pair
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    workspace.update(events_filter="task.created,task.canceled")
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    task.update(assignment_status="canceled", reason="enough")
    taskrouter.advance()
    types = sorted(one["parameters"]["EventType"] for one in app.received)
    assert types == ["task.canceled", "task.created"]
    validator = RequestValidator(taskrouter.auth_token)
    for one in app.received:
        signature = one["headers"]["X-Twilio-Signature"]
        assert validator.validate(f"{app.url}/events", one["parameters"], signature)
    assert taskrouter.log("alert") == []


@pytest.mark.parametrize(("status", "delay"), [(500, 0), (302, 0), (204, 0.5)])
def test_an_event_callback_that_fails_raises_an_alert(pair, status, delay):
    app, taskrouter = pair
    app.answers["/events"] = (status, "application/json", b"")
    app.delay = delay
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    workspace.update(events_filter="task.created")
    workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance()
    assert [alert["code"] for alert in taskrouter.log("alert")] == [11200]


def test_failed_event_callbacks_are_repeated_if_told(app):
    app.answers["/events"] = (500, "application/json", b"")
    with running(
        callback_base_url=app.url, event_path="/events", event_callback_retries=2
    ) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        workspace.update(events_filter="task.created")
        app.received.clear()
        workspace.tasks.create(attributes='{"selected_language": "es"}')
        taskrouter.advance()
    created = [one["parameters"]["Sid"] for one in app.received]
    assert len(created) >= 3
    assert len(set(created[-3:])) == 1
    tokens = [one["headers"]["I-Twilio-Idempotency-Token"] for one in app.received]
    assert len(set(tokens[-3:])) == 1


def test_a_thousand_events_at_once_all_arrive(app):
    app.answers["/events"] = (204, "application/json", b"")
    settings = {"event_path": "/events", "assignment_path": "", "frozen_clock": False}
    with running(callback_base_url=app.url, **settings) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        for _ in range(200):
            workspace.tasks.create(attributes='{"selected_language": "fr"}')
        taskrouter.advance()
        sent = len(taskrouter.log("event"))
        assert sent == len(app.received) >= 800
        assert taskrouter.log("alert") == []


def test_events_can_be_listed_and_filtered(taskrouter):
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    workspace.workers(taskrouter.workers["Alice"]).update(
        activity_sid=taskrouter.activities["Idle"]
    )
    first = workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance(960)
    workspace.tasks.create(attributes='{"selected_language": "en"}')
    recent = {event.event_type for event in workspace.events.list()}
    assert "task.created" in recent
    assert "worker.created" not in recent
    mine = workspace.events.list(task_sid=first.sid, minutes=60)
    assert {event.event_type for event in mine} >= {"task.created", "reservation.created"}
    assert all(event.event_data["task_sid"] == first.sid for event in mine)
    (created,) = workspace.events.list(event_type="task.created", task_sid=first.sid, minutes=60)
    assert created.fetch().resource_url.endswith(f"/Tasks/{first.sid}")
    (reserved,) = workspace.events.list(event_type="reservation.created", minutes=60)
    assert workspace.events.list(
        reservation_sid=reserved.resource_sid, end_date=reserved.event_date
    )
    with pytest.raises(TwilioRestException):
        workspace.events("EV" + "0" * 32).fetch()


def test_every_documented_type_can_happen(taskrouter):
    taskrouter.reset(STORY)
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    change_channels(taskrouter, workspace)
    live_through(taskrouter, workspace)
    clear_up(taskrouter, workspace)
    seen = {event.event_type for event in workspace.events.list(minutes=43_200)}
    made = workspace._version.workspaces.create(friendly_name="Other")
    seen |= {event.event_type for event in made.events.list()}
    assert seen | {"workspace.deleted"} == DOCUMENTED


def change_channels(taskrouter, workspace):
    channel = workspace.task_channels.create(friendly_name="Fax", unique_name="fax")
    channel.update(friendly_name="Telefax")
    share = workspace.workers(taskrouter.workers["Carol"]).worker_channels("default")
    share.update(capacity=3, available=False)
    share.update(available=True)
    channel.delete()


def live_through(taskrouter, workspace):
    def offered(to):
        carol = workspace.workers(taskrouter.workers["Carol"])
        carol.update(activity_sid=taskrouter.activities["Here"])
        attributes = json.dumps({"to": to})
        task = workspace.tasks.create(attributes=attributes, workflow_sid=taskrouter.workflow_sid)
        taskrouter.advance()
        return task, task.reservations.list(reservation_status="pending")

    _, (one,) = offered("first")
    gone = taskrouter.activities["Gone"]
    one.update(reservation_status="rejected", worker_activity_sid=gone)
    taskrouter.advance(20)
    task, (one, other) = offered("both")
    task.update(priority=3)
    one.update(reservation_status="accepted")
    assert other.fetch().reservation_status == "rescinded"
    task.update(assignment_status="wrapping")
    task.update(assignment_status="completed")
    offered("first")
    taskrouter.advance(5)
    task, _ = offered("first")
    task.update(assignment_status="canceled")
    offered("nobody")
    taskrouter.advance(30)
    _, (one, *_) = offered("first")
    one.update(reservation_status="accepted")
    taskrouter.advance(86_400)
    task, _ = offered("first")
    task.delete()


def clear_up(taskrouter, workspace):
    carol = workspace.workers(taskrouter.workers["Carol"])
    carol.update(attributes="{}", activity_sid=taskrouter.activities["Gone"])
    carol.delete()
    activity = workspace.activities.create(friendly_name="Lunch")
    activity.update(friendly_name="Dinner")
    activity.delete()
    queue = workspace.task_queues(taskrouter.task_queues["Second"])
    queue.update(target_workers="1==2")
    workflow = workspace.workflows(taskrouter.workflow_sid)
    workflow.update(friendly_name="Renamed")
    workflow.delete()
    queue.delete()
    workspace.update(friendly_name="Renamed")


STORY = {
    "friendly_name": "Story",
    "activities": [
        {"friendly_name": "Gone"},
        {"friendly_name": "Here", "available": True},
    ],
    "task_queues": [
        {"friendly_name": "First", "target_workers": "friendly_name == 'Carol'"},
        {"friendly_name": "Second", "max_reserved_workers": 2},
        {"friendly_name": "Empty", "target_workers": "1 == 2"},
    ],
    "workers": [
        {"friendly_name": "Carol", "activity": "Here"},
        {"friendly_name": "Dan", "activity": "Here", "capacity": {"default": 9}},
    ],
    "workflows": [
        {
            "friendly_name": "Main",
            "assignment_callback_url": "",
            "task_reservation_timeout": 5,
            "configuration": {
                "task_routing": {
                    "filters": [
                        {"expression": "to == 'first'",
                         "targets": [{"queue": "First", "timeout": 20}]},
                        {"expression": "to == 'both'",
                         "targets": [{"queue": "Empty", "skip_if": "1==1"}, {"queue": "Second"}]},
                        {"expression": "to == 'nobody'",
                         "targets": [{"queue": "Empty", "timeout": 10},
                                     {"queue": "First", "expression": "1==2", "timeout": 10}]},
                    ]
                }
            },
        }
    ],
}  # fmt: skip


def test_the_story_is_json():
    assert json.loads(json.dumps(STORY)) == STORY
