"""Events: their order and parameters, event callbacks, and the Events resource."""

import socket
import time

import pytest
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.request_validator import RequestValidator

from taskrouter_simulator.callbacks import dispatcher
from taskrouter_simulator.engine import assignments, workers
from taskrouter_simulator.engine.core import EventCallback
from taskrouter_simulator.engine.events import is_subscribed
from taskrouter_simulator.identifiers import derived_hex
from taskrouter_simulator.testing import running


def published_events(simulation):
    return list(simulation.workspace.events.values())


def test_quickstart_publishes_events_in_order(simulation):
    simulation.set_activity(simulation.alice, "Idle")
    before = len(published_events(simulation))
    task = simulation.create_task()
    assignments.accept(simulation.engine, simulation.workspace, simulation.reservations(task)[0])
    assignments.complete(simulation.engine, simulation.workspace, task)
    assert [event.event_type for event in published_events(simulation)[before:]] == [
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


def test_reservation_event_has_all_parameters(simulation):
    task, reservation = simulation.offer_task()
    created = "reservation.created"
    event = next(event for event in published_events(simulation) if event.event_type == created)
    queue = simulation.workspace.queues[task.queue_sid]
    assert event.parameters == {
        "Sid": event.sid,
        "EventType": "reservation.created",
        "EventDescription": f"Reservation {reservation.sid} created",
        "AccountSid": simulation.engine.account_sid,
        "WorkspaceSid": simulation.workspace.sid,
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
        "WorkerSid": simulation.alice.sid,
        "WorkerName": "Alice",
        "WorkerAttributes": '{"languages": ["en", "es"]}',
        "WorkerActivitySid": simulation.activity_sid("Idle"),
        "WorkerActivityName": "Idle",
        "WorkerVersion": event.parameters["WorkerVersion"],
        "OperatingUnitSid": "OU" + derived_hex("operating-unit"),
    }


def test_activity_event_has_previous_activity_and_duration(simulation):
    simulation.clock.advance(26.123)
    workers.set_activity(
        simulation.engine, simulation.workspace, simulation.alice, simulation.activity_sid("Busy")
    )
    parameters = published_events(simulation)[-1].parameters
    assert parameters["WorkerActivityName"] == "Busy"
    assert parameters["WorkerPreviousActivityName"] == "Offline"
    assert parameters["WorkerTimeInPreviousActivity"] == "26"
    assert parameters["WorkerTimeInPreviousActivityMs"].startswith("2612")


def test_canceled_task_event_has_reason(simulation):
    task = simulation.create_task(timeout=1)
    simulation.clock.advance(1)
    parameters = published_events(simulation)[-1].parameters
    assert parameters["EventType"] == "task.canceled"
    assert parameters["TaskCanceledReason"] == "Task TTL Exceeded"
    assert task.status == "canceled"


def test_changes_to_worker_channel_publish_events(simulation):
    channel = next(iter(simulation.alice.channels.values()))
    workers.update_channel(
        simulation.engine, simulation.workspace, simulation.alice, channel, capacity=4
    )
    workers.update_channel(
        simulation.engine, simulation.workspace, simulation.alice, channel, available=False
    )
    workers.update_channel(
        simulation.engine, simulation.workspace, simulation.alice, channel, available=False
    )
    assert simulation.event_types("worker.c")[2:] == [
        "worker.capacity.update", "worker.channel.availability.update"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "is_included"),
    [("", True), ("task.created", True), ("task.canceled, task.created", True),
     ("task.canceled", False), ("task", False), (",", True)],
)  # fmt: skip
def test_events_filter_selects_types(simulation, text, is_included):
    simulation.workspace.events_filter = text
    assert is_subscribed(simulation.workspace, "task.created") is is_included


def test_no_event_is_posted_if_the_workspace_has_no_event_callback_url(simulation):
    simulation.offer_task()
    assert not [effect for effect in simulation.effects if isinstance(effect, EventCallback)]


@pytest.fixture
def app_and_taskrouter(app):
    app.responses["/events"] = (204, "application/json", b"")
    settings = {"callback_base_url": app.url, "event_path": "/events", "assignment_path": ""}
    with running(**settings, event_callback_seconds=0.3) as taskrouter:
        yield app, taskrouter


def test_posted_events_are_signed_and_filtered(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    workspace.update(events_filter="task.created,task.canceled")
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    task.update(assignment_status="canceled", reason="enough")
    taskrouter.advance()
    types = sorted(request["parameters"]["EventType"] for request in app.received)
    assert types == ["task.canceled", "task.created"]
    validator = RequestValidator(taskrouter.auth_token)
    for request in app.received:
        signature = request["headers"]["X-Twilio-Signature"]
        assert validator.validate(f"{app.url}/events", request["parameters"], signature)
    assert taskrouter.log("alert") == []


@pytest.mark.parametrize(("status", "delay"), [(500, 0), (302, 0), (200, 0), (204, 0.5)])
def test_failed_event_callback_emits_alert(app_and_taskrouter, status, delay):
    app, taskrouter = app_and_taskrouter
    app.responses["/events"] = (status, "application/json", b"")
    app.delay = delay
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    workspace.update(events_filter="task.created")
    workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance()
    assert [alert["code"] for alert in taskrouter.log("alert")] == [11200]


def test_event_callback_may_return_200_if_204_is_not_required(app):
    app.responses["/events"] = (200, "application/json", b"{}")
    settings = {"event_path": "/events", "assignment_path": "", "event_callback_wants_204": False}
    with running(callback_base_url=app.url, **settings) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        workspace.tasks.create(attributes='{"selected_language": "es"}')
        taskrouter.advance()
        assert taskrouter.log("event")
        assert taskrouter.log("alert") == []


def publish_event(taskrouter, body):
    url = f"{taskrouter.url}/simulator/events"
    return requests.post(url, json=body, timeout=5).status_code


def test_events_can_be_published_on_request(app_and_taskrouter):
    app, taskrouter = app_and_taskrouter
    app.responses["/events"] = (204, "application/json", b"")
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    alice = workspace.workers(taskrouter.workers["Alice"])
    alice.update(activity_sid=taskrouter.activities["Idle"])
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance()
    (reservation,) = workspace.tasks(task.sid).reservations.list()
    workspace.update(events_filter="reservation.failed,task.transfer-initiated")
    app.received.clear()

    body = {"event_type": "reservation.failed", "reservation_sid": reservation.sid}
    assert publish_event(taskrouter, body) == 200
    body = {"event_type": "task.transfer-initiated", "task_sid": task.sid}
    assert publish_event(taskrouter, body) == 200
    posted = [request for request in app.received if request["path"] == "/events"]
    failed, initiated = [request["parameters"] for request in posted]
    assert failed["EventType"] == "reservation.failed"
    assert failed["ReservationSid"] == failed["ResourceSid"] == reservation.sid
    assert failed["WorkerName"] == "Alice"
    assert (initiated["EventType"], initiated["TaskSid"]) == ("task.transfer-initiated", task.sid)


@pytest.mark.parametrize(
    "body",
    [
        {"event_type": "task.lost", "task_sid": "WT" + "0" * 32},
        {"event_type": ["task.created"]},
        {"event_type": "task.created"},
        {"event_type": "task.created", "task_sid": ["WT"]},
        {},
    ],
)
def test_invalid_request_to_publish_event_is_rejected(app_and_taskrouter, body):
    _, taskrouter = app_and_taskrouter
    assert publish_event(taskrouter, body) == 400


def test_failed_event_callback_is_retried_as_configured(app):
    app.responses["/events"] = (500, "application/json", b"")
    with running(
        callback_base_url=app.url, event_path="/events", event_callback_retries=2
    ) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        workspace.update(events_filter="task.created")
        app.received.clear()
        workspace.tasks.create(attributes='{"selected_language": "es"}')
        taskrouter.advance()
    event_sids = [request["parameters"]["Sid"] for request in app.received]
    assert len(event_sids) >= 3
    assert len(set(event_sids[-3:])) == 1
    tokens = [request["headers"]["I-Twilio-Idempotency-Token"] for request in app.received]
    assert len(set(tokens[-3:])) == 1


def test_all_concurrent_events_arrive(app):
    app.responses["/events"] = (204, "application/json", b"")
    settings = {"event_path": "/events", "assignment_path": "", "frozen_clock": False}
    with running(callback_base_url=app.url, **settings) as taskrouter:
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        for _ in range(200):
            workspace.tasks.create(attributes='{"selected_language": "fr"}')
        taskrouter.advance()
        logged = len(taskrouter.log("event"))
        assert logged == len(app.received) >= 800
        assert taskrouter.log("alert") == []


def test_slow_event_callbacks_do_not_delay_assignment_callbacks(app, monkeypatch):
    monkeypatch.setattr(dispatcher, "MAX_CONCURRENT", 1)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent_server,
        running(callback_base_url=app.url) as taskrouter,
    ):
        workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
        workspace.update(event_callback_url=f"http://127.0.0.1:{silent_server.getsockname()[1]}/")
        alice = workspace.workers(taskrouter.workers["Alice"])
        alice.update(activity_sid=taskrouter.activities["Idle"])
        workspace.tasks.create(attributes='{"selected_language": "es"}')
        deadline = time.monotonic() + 5
        while not taskrouter.log("assignment"):
            assert time.monotonic() < deadline
        assert taskrouter.log("event") == []


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
    task_events = workspace.events.list(task_sid=first.sid, minutes=60)
    assert {event.event_type for event in task_events} >= {"task.created", "reservation.created"}
    assert all(event.event_data["task_sid"] == first.sid for event in task_events)
    (created,) = workspace.events.list(event_type="task.created", task_sid=first.sid, minutes=60)
    assert created.fetch().resource_url.endswith(f"/Tasks/{first.sid}")
    (reserved,) = workspace.events.list(event_type="reservation.created", minutes=60)
    assert workspace.events.list(
        reservation_sid=reserved.resource_sid, end_date=reserved.event_date
    )
    with pytest.raises(TwilioRestException):
        workspace.events("EV" + "0" * 32).fetch()
