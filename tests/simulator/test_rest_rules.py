"""Rules stated only in the prose of Twilio's OpenAPI description, not in its schemas."""

import json

import pytest

from taskrouter_simulator.engine.model import ReservationStatus
from tests.simulator.conftest import SPANISH, send_request
from tests.simulator.rest_client import Rest
from tests.simulator.test_rest_statistics import (
    INTERVAL_PATHS,
    ContactCenter,
    durations,
    fill_path,
)

ENGLISH = '{"selected_language": "en"}'


@pytest.fixture
def rest(taskrouter):
    return Rest(taskrouter)


@pytest.fixture
def alice(rest):
    """Alice's path. Alice is the only Worker for Spanish Tasks."""
    return f"/Workers/{rest.taskrouter.workers['Alice']}"


@pytest.fixture
def spanish_queue_sid(rest):
    return rest.taskrouter.task_queues["Customer Care Requests - Spanish"]


def create_task(rest, **parameters):
    """Create a Task, and let TaskRouter offer the Task; return the Task's path."""
    given = {"Attributes": SPANISH, "WorkflowSid": rest.taskrouter.workflow_sid} | parameters
    sid = rest.create("/Tasks", is_stable=False, **given)["sid"]
    rest.taskrouter.advance()
    return f"/Tasks/{sid}"


def change(rest, path, **parameters):
    """Update a resource, and let TaskRouter offer Tasks."""
    status, body = send_request(rest.taskrouter, "POST", path, **parameters)
    assert status == 200, body
    rest.taskrouter.advance()


def set_activity(rest, worker, name):
    change(rest, worker, ActivitySid=rest.taskrouter.activities[name])


def statuses(rest, task):
    """Return the status of a Task, and the statuses of its Reservations."""
    reservations = rest.get(f"{task}/Reservations")["reservations"]
    status = rest.get(task)["assignment_status"]
    return status, [reservation["reservation_status"] for reservation in reservations]


# Activities


@pytest.mark.parametrize(
    ("value", "available"),
    [("true", True), ("1", True), ("yes", True), ("no", False), ("perhaps", False), ("", False)],
)
def test_activity_is_available_only_with_documented_values(rest, value, available):
    created = rest.create("/Activities", FriendlyName="Lunch", Available=value)
    assert created["available"] is available


def test_availability_of_activity_cannot_be_changed(rest):
    for name, available in (("Idle", True), ("Offline", False)):
        path = f"/Activities/{rest.taskrouter.activities[name]}"
        assert rest.update(path, Available=str(not available))["available"] is available


# Workers


def test_new_worker_has_default_activity_of_workspace(rest):
    rest.update("", DefaultActivitySid=rest.taskrouter.activities["Busy"])
    assert rest.create("/Workers", FriendlyName="Carol")["activity_name"] == "Busy"


def test_worker_has_timeout_activity_of_workspace_after_timeout(rest, alice):
    rest.update("", TimeoutActivitySid=rest.taskrouter.activities["Busy"])
    set_activity(rest, alice, "Idle")
    task = create_task(rest)
    assert statuses(rest, task) == ("reserved", ["pending"])
    workflow = rest.get(f"/Workflows/{rest.taskrouter.workflow_sid}")
    rest.taskrouter.advance(workflow["task_reservation_timeout"])
    assert statuses(rest, task) == ("pending", ["timeout"])
    assert rest.get(alice)["activity_name"] == "Busy"


@pytest.mark.parametrize("field", ["sid", "friendly_name", "activity_sid", "activity_name"])
def test_workers_can_be_filtered_by_expression_with_each_field(rest, alice, field):
    set_activity(rest, alice, "Busy")
    expression = f"{field} == '{rest.get(alice)[field]}'"
    found = rest.get("/Workers", TargetWorkersExpression=expression)["workers"]
    assert [worker["friendly_name"] for worker in found] == ["Alice"]


def test_reservations_remain_pending_if_rejection_is_not_requested(rest, alice):
    set_activity(rest, alice, "Idle")
    task = create_task(rest)
    offline = rest.taskrouter.activities["Offline"]
    change(rest, alice, ActivitySid=offline, RejectPendingReservations="false")
    assert statuses(rest, task) == ("reserved", ["pending"])


@pytest.mark.parametrize(
    "changes", [{"Capacity": 0}, {"Available": "false"}], ids=["no capacity", "unavailable"]
)
def test_worker_gets_no_new_reservations_if_the_channel_has_no_capacity_or_is_unavailable(
    rest, alice, changes
):
    change(rest, "", MultiTaskEnabled="true")
    change(rest, f"{alice}/Channels/default", Capacity=2)
    set_activity(rest, alice, "Idle")
    first = create_task(rest)
    change(rest, f"{alice}/Channels/default", **changes)
    second = create_task(rest)
    assert statuses(rest, first) == ("reserved", ["pending"])
    assert statuses(rest, second) == ("pending", [])
    change(rest, f"{alice}/Channels/default", Capacity=2, Available="true")
    assert statuses(rest, second) == ("reserved", ["pending"])


def test_worker_has_a_channel_for_each_task_channel(rest, alice):
    rest.create("/TaskChannels", FriendlyName="Fax", UniqueName="fax")
    listed = rest.get(f"{alice}/Channels")["channels"]
    for worker_channel, channel in zip(listed, rest.get("/TaskChannels")["channels"], strict=True):
        assert worker_channel["task_channel_sid"] == channel["sid"]
        assert channel == rest.get(f"/TaskChannels/{channel['sid']}")
        assert worker_channel == rest.get(f"{alice}/Channels/{worker_channel['sid']}")
    assert [channel["task_channel_unique_name"] for channel in listed] == [
        "default", "voice", "sms", "chat", "video", "fax",
    ]  # fmt: skip


def test_reservations_can_be_filtered_by_every_status(rest, alice):
    set_activity(rest, alice, "Idle")
    task = create_task(rest)
    for parent in (task, alice):
        for status in ReservationStatus:
            found = rest.get(f"{parent}/Reservations", ReservationStatus=status.value)
            assert len(found["reservations"]) == (status == "pending")


# Tasks


@pytest.mark.parametrize(
    ("value", "ignores"),
    [("true", True), ("1", True), ("yes", True), ("no", False), ("perhaps", False), ("", False)],
)
def test_capacity_is_ignored_only_with_documented_values(rest, alice, value, ignores):
    worker = alice.rsplit("/", 1)[1]
    task = create_task(rest, RoutingTarget=worker, IgnoreCapacity=value)
    assert rest.get(task)["ignore_capacity"] is ignores
    status = "reserved" if ignores else "pending"
    assert statuses(rest, task)[0] == status  # Alice is offline


@pytest.mark.parametrize("is_update", [False, True])
def test_task_channel_can_be_specified_by_sid_or_unique_name(rest, is_update):
    sms = rest.get("/TaskChannels/sms")["sid"]
    for identifier in ("sms", sms):
        task = create_task(rest, **({} if is_update else {"TaskChannel": identifier}))
        if is_update:
            rest.update(task, TaskChannel=identifier)
        assert rest.get(task)["task_channel_sid"] == sms
        assert rest.get(task)["task_channel_unique_name"] == "sms"


def test_no_task_has_addons(rest):
    task = create_task(rest)
    for value, expected in (("true", []), ("false", [task])):
        found = rest.get("/Tasks", HasAddons=value)["tasks"]
        assert [f"/Tasks/{item['sid']}" for item in found] == expected


def test_tasks_are_listed_by_date_created_by_default(rest):
    created = [create_task(rest, Priority=priority) for priority in (1, 3, 2)]
    for ordering in ({}, {"Ordering": "DateCreated:asc"}):
        found = rest.get("/Tasks", **ordering)["tasks"]
        assert [f"/Tasks/{task['sid']}" for task in found] == created


def test_event_about_expired_task_has_documented_description(rest):
    task = create_task(rest, Timeout=10)
    rest.taskrouter.advance(9)
    assert statuses(rest, task)[0] == "pending"
    rest.taskrouter.advance(1)
    assert statuses(rest, task)[0] == "canceled"
    (event,) = rest.get("/Events", EventType="task.canceled")["events"]
    assert event["description"] == "Task TTL Exceeded"
    assert event["event_data"]["task_canceled_reason"] == "Task TTL Exceeded"


def test_updated_priority_lasts_until_the_task_reaches_a_target_with_a_priority(
    rest, spanish_queue_sid
):
    targets = [
        {"queue": spanish_queue_sid, "timeout": 10},
        {"queue": spanish_queue_sid, "priority": 5},
    ]
    routing = {"filters": [{"expression": "1==1", "targets": targets}]}
    workflow = rest.create(
        "/Workflows",
        FriendlyName="Priorities",
        Configuration=json.dumps({"task_routing": routing}),
    )
    task = create_task(rest, WorkflowSid=workflow["sid"], Priority=1)
    assert rest.update(task, Priority=9)["priority"] == 9
    rest.taskrouter.advance(9)
    assert rest.get(task)["priority"] == 9
    rest.taskrouter.advance(1)
    assert rest.get(task)["priority"] == 5


def test_reason_for_closing_a_task_is_logged_and_the_task_is_deleted_after_five_minutes(rest):
    task = create_task(rest)
    rest.update(task, AssignmentStatus="canceled", Reason="The customer left")
    assert rest.get(task)["reason"] == "The customer left"
    (event,) = rest.get("/Events", EventType="task.canceled")["events"]
    assert event["event_data"]["task_canceled_reason"] == "The customer left"
    rest.taskrouter.advance(300)
    assert send_request(rest.taskrouter, "GET", task)[0] == 404


# TaskQueues and Workflows


def test_task_queue_limits_the_number_of_workers_reserved_for_a_task(rest, spanish_queue_sid):
    for maximum in (1, 2):
        rest.update(
            f"/TaskQueues/{spanish_queue_sid}", MaxReservedWorkers=maximum, TargetWorkers="1==1"
        )
        for sid in rest.taskrouter.workers.values():
            set_activity(rest, f"/Workers/{sid}", "Idle")
        task = create_task(rest)
        assert statuses(rest, task) == ("reserved", ["pending"] * maximum)
        rest.update(task, AssignmentStatus="canceled")


def test_task_queue_sets_the_activity_of_a_reserved_worker_and_of_an_assigned_worker(
    rest, alice, spanish_queue_sid
):
    activities = rest.taskrouter.activities
    rest.update(
        f"/TaskQueues/{spanish_queue_sid}",
        ReservationActivitySid=activities["Busy"],
        AssignmentActivitySid=activities["Offline"],
    )
    set_activity(rest, alice, "Idle")
    task = create_task(rest)
    assert rest.get(alice)["activity_name"] == "Busy"
    (reservation,) = rest.get(f"{task}/Reservations")["reservations"]
    rest.update(f"{task}/Reservations/{reservation['sid']}", ReservationStatus="accepted")
    assert rest.get(alice)["activity_name"] == "Offline"


@pytest.mark.parametrize(
    ("parameters", "is_rerouted"),
    [({}, False), ({"ReEvaluateTasks": "false"}, False), ({"ReEvaluateTasks": "true"}, True)],
)
def test_workflow_update_reroutes_tasks_only_on_request(rest, parameters, is_rerouted):
    queues = rest.taskrouter.task_queues
    task = create_task(rest)
    english = queues["Customer Care Requests - English"]
    configuration = rest.workflow(english)
    path = f"/Workflows/{rest.taskrouter.workflow_sid}"
    assert rest.update(path, Configuration=configuration, **parameters)
    rest.taskrouter.advance()
    assert (rest.get(task)["task_queue_sid"] == english) is is_rerouted


def test_reservation_times_out_after_120_seconds_by_default(rest, alice, spanish_queue_sid):
    workflow = rest.create(
        "/Workflows", FriendlyName="Default", Configuration=rest.workflow(spanish_queue_sid)
    )
    set_activity(rest, alice, "Idle")
    task = create_task(rest, WorkflowSid=workflow["sid"])
    rest.taskrouter.advance(119)
    assert statuses(rest, task) == ("reserved", ["pending"])
    rest.taskrouter.advance(1)
    assert statuses(rest, task) == ("pending", ["timeout"])


# Statistics


@pytest.mark.parametrize("path", INTERVAL_PATHS)
def test_statistics_have_the_requested_interval(taskrouter, path):
    center = ContactCenter(taskrouter)
    hour, minutes = center.moment(hours=1), center.moment(minutes=30)
    for parameters, start, end in (
        ({}, center.moment(minutes=15), center.moment()),
        ({"Minutes": 40}, center.moment(minutes=40), center.moment()),
        ({"StartDate": hour}, hour, center.moment()),
        ({"EndDate": minutes}, center.moment(minutes=45), minutes),
        ({"StartDate": hour, "EndDate": minutes}, hour, minutes),
    ):
        body = center.get(fill_path(center, path), **parameters)
        for found in body.get("task_queues_statistics", [body]):
            cumulative = found.get("cumulative", found)
            assert (cumulative["start_time"], cumulative["end_time"]) == (start, end)


def test_wait_of_transferred_task_begins_when_the_task_is_created(rest, alice, spanish_queue_sid):
    rest.update(f"/TaskQueues/{spanish_queue_sid}", TargetWorkers="1==1")
    task = create_task(rest)
    rest.taskrouter.advance(10)
    set_activity(rest, alice, "Idle")
    path = f"{task}/Reservations"
    (first,) = rest.get(path)["reservations"]
    rest.update(f"{path}/{first['sid']}", ReservationStatus="accepted")
    rest.taskrouter.advance(20)
    bob = rest.taskrouter.workers["Bob"]
    set_activity(rest, f"/Workers/{bob}", "Idle")
    rest.taskrouter.transfer(first["sid"], bob)
    rest.taskrouter.advance(3)
    second = rest.get(path)["reservations"][-1]
    rest.update(f"{path}/{second['sid']}", ReservationStatus="accepted")
    cumulative = rest.get(f"/TaskQueues/{spanish_queue_sid}/CumulativeStatistics")
    assert cumulative["wait_duration_until_accepted"] == durations(10, 33)


# Deletion


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/Activities", {"FriendlyName": "New"}),
        ("/TaskChannels", {"FriendlyName": "New", "UniqueName": "new"}),
        ("/TaskQueues", {"FriendlyName": "New"}),
        ("/Tasks", {"Attributes": ENGLISH}),
        ("/Workers", {"FriendlyName": "New"}),
        ("/Workflows", {"FriendlyName": "New", "Configuration": "{workflow}"}),
    ],
)
def test_deleted_resource_is_not_found(rest, spanish_queue_sid, path, parameters):
    given = {name: value.replace("{workflow}", rest.workflow(spanish_queue_sid))
             for name, value in parameters.items()}  # fmt: skip
    sid = rest.create(path, is_stable=False, **given)["sid"]
    client = rest.taskrouter.client()
    assert client.request("DELETE", f"{rest.url}{path}/{sid}").status_code == 204
    for method in ("GET", "POST"):
        assert send_request(rest.taskrouter, method, f"{path}/{sid}")[0] == 404
    assert client.request("DELETE", f"{rest.url}{path}/{sid}").status_code == 404
    listed = rest.get(path)
    assert sid not in {item["sid"] for item in listed[listed["meta"]["key"]]}
