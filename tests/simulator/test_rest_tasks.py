"""Every field of a Workspace, a Task and a Reservation, and how parameters set the fields."""

import json

import pytest

from tests.simulator.conftest import SPANISH
from tests.simulator.rest_client import Rest


@pytest.fixture
def rest(taskrouter):
    return Rest(taskrouter)


def test_workspace_has_every_field(rest):
    created = rest.taskrouter.client().request(
        "POST", f"{rest.taskrouter.url}/v1/Workspaces", data={"FriendlyName": "Sales"}
    )
    assert created.status_code == 201
    body = json.loads(created.text)
    rest.taskrouter.workspace_sid = body["sid"]
    rest = Rest(rest.taskrouter)
    activities = {
        item["friendly_name"]: item["sid"] for item in rest.get("/Activities")["activities"]
    }
    subresources = (
        "Activities", "Statistics", "RealTimeStatistics", "CumulativeStatistics", "TaskQueues",
        "Tasks", "Workers", "Workflows", "TaskChannels", "Events",
    )  # fmt: skip
    names = (
        "activities", "statistics", "real_time_statistics", "cumulative_statistics", "task_queues",
        "tasks", "workers", "workflows", "task_channels", "events",
    )  # fmt: skip
    expected = {
        "account_sid": rest.taskrouter.account_sid,
        **rest.dates(),
        "default_activity_name": "Offline",
        "default_activity_sid": activities["Offline"],
        "timeout_activity_name": "Offline",
        "timeout_activity_sid": activities["Offline"],
        "event_callback_url": None,
        "events_filter": None,
        "friendly_name": "Sales",
        "multi_task_enabled": True,
        "prioritize_queue_order": "FIFO",
        "sid": body["sid"],
        "url": rest.url,
        "links": {
            name: f"{rest.url}/{path}" for name, path in zip(names, subresources, strict=True)
        },
    }
    assert body == expected == rest.get("")
    expected["date_updated"] = rest.now(after=5)
    assert rest.update("") == expected
    for name, field, value in (
        ("FriendlyName", "friendly_name", "Other"),
        ("PrioritizeQueueOrder", "prioritize_queue_order", "LIFO"),
        ("EventCallbackUrl", "event_callback_url", "http://127.0.0.1:9/"),
        ("EventsFilter", "events_filter", "task.created"),
        ("MultiTaskEnabled", "multi_task_enabled", False),
        ("MultiTaskEnabled", "multi_task_enabled", True),
        ("EventCallbackUrl", "event_callback_url", ""),
        ("EventsFilter", "events_filter", ""),
        ("DefaultActivitySid", "default_activity_sid", activities["Available"]),
        ("TimeoutActivitySid", "timeout_activity_sid", activities["Unavailable"]),
    ):
        expected[field] = None if value == "" else value
        if field == "default_activity_sid":
            expected["default_activity_name"] = "Available"
        if field == "timeout_activity_sid":
            expected["timeout_activity_name"] = "Unavailable"
        assert rest.update("", **{name: value}) == expected
        assert rest.update("") == expected


def test_workspace_is_created_with_given_parameters(rest):
    given = {
        "FriendlyName": "Sales",
        "EventCallbackUrl": "http://127.0.0.1:9/",
        "EventsFilter": "task.created",
        "MultiTaskEnabled": "false",
        "PrioritizeQueueOrder": "lifo",
    }
    url = f"{rest.taskrouter.url}/v1/Workspaces"
    body = json.loads(rest.taskrouter.client().request("POST", url, data=given).text)
    assert body == {
        **body,
        "friendly_name": "Sales",
        "event_callback_url": "http://127.0.0.1:9/",
        "events_filter": "task.created",
        "multi_task_enabled": False,
        "prioritize_queue_order": "LIFO",
    }


def task_links(rest, sid, **links):
    return {
        "workspace": rest.url,
        "reservations": f"{rest.url}/Tasks/{sid}/Reservations",
        **{name: rest.url + path for name, path in links.items()},
    }


def test_task_has_every_field(rest):
    rest.now(after=0.5)
    created = rest.create("/Tasks", Attributes=SPANISH)
    queue = rest.taskrouter.task_queues["Customer Care Requests - Spanish"]
    workflow = rest.taskrouter.workflow_sid
    default, chat = (rest.get(f"/TaskChannels/{name}")["sid"] for name in ("default", "chat"))
    expected = {
        **rest.common,
        **rest.dates(),
        "addons": "{}",
        "age": 0,
        "assignment_status": "pending",
        "attributes": SPANISH,
        "ignore_capacity": False,
        "priority": 0,
        "reason": None,
        "routing_target": None,
        "sid": created["sid"],
        "task_channel_sid": default,
        "task_channel_unique_name": "default",
        "task_queue_entered_date": rest.now(),
        "task_queue_friendly_name": "Customer Care Requests - Spanish",
        "task_queue_sid": queue,
        "timeout": 86_400,
        "url": f"{rest.url}/Tasks/{created['sid']}",
        "virtual_start_time": rest.now(),
        "workflow_friendly_name": "Incoming Customer Care Requests",
        "workflow_sid": workflow,
        "links": task_links(
            rest, created["sid"], task_queue=f"/TaskQueues/{queue}",
            workflow=f"/Workflows/{workflow}",
        ),
    }  # fmt: skip
    assert created == expected
    assert rest.get("/Tasks")["tasks"] == [{**expected, "attributes": None}]
    path = f"/Tasks/{created['sid']}"
    rest.now(after=5)
    expected["age"] = 5
    assert rest.update(path) == expected
    expected["date_updated"] = rest.now()
    for name, field, value in (
        ("Attributes", "attributes", '{"a": 1}'),
        ("Priority", "priority", 2**31 - 1),
        ("Priority", "priority", 0),
        ("VirtualStartTime", "virtual_start_time", "1900-01-01T00:00:00Z"),
    ):
        expected[field] = value
        assert rest.update(path, **{name: value}) == expected
        assert rest.update(path) == expected
    expected |= {"task_channel_sid": chat, "task_channel_unique_name": "chat"}
    assert rest.update(path, TaskChannel="chat") == expected
    expected |= {"assignment_status": "canceled", "reason": "enough"}
    assert rest.update(path, AssignmentStatus="canceled", Reason="enough") == expected


def test_task_is_created_with_given_parameters(rest):
    queue = rest.taskrouter.task_queues["Customer Care Requests - Spanish"]
    created = rest.create(
        "/Tasks", TaskQueueSid=queue, Priority=7, Timeout=1_209_600, TaskChannel="chat",
        VirtualStartTime="2020-01-02T03:04:05+01:00",
    )  # fmt: skip
    assert created == {
        **created,
        "attributes": "{}",
        "priority": 7,
        "timeout": 1_209_600,
        "task_channel_unique_name": "chat",
        "virtual_start_time": "2020-01-02T02:04:05Z",
        "task_queue_sid": queue,
        "routing_target": None,
        "workflow_sid": None,
        "workflow_friendly_name": None,
        "links": task_links(rest, created["sid"], task_queue=f"/TaskQueues/{queue}"),
    }


@pytest.mark.parametrize(
    ("parameters", "ignores_capacity"),
    [({}, True), ({"IgnoreCapacity": "true"}, True), ({"IgnoreCapacity": "false"}, False)],
)
def test_task_routed_to_worker_ignores_capacity_by_default(rest, parameters, ignores_capacity):
    alice = rest.taskrouter.workers["Alice"]
    created = rest.create("/Tasks", is_stable=False, RoutingTarget=alice, **parameters)
    assert (created["routing_target"], created["ignore_capacity"]) == (alice, ignores_capacity)
    by_workflow = rest.create("/Tasks", is_stable=False, RoutingTarget=rest.taskrouter.workflow_sid)
    assert (
        by_workflow["workflow_sid"] == by_workflow["routing_target"] == rest.taskrouter.workflow_sid
    )
    assert by_workflow["ignore_capacity"] is False


def test_task_without_matching_filter_has_no_queue(rest):
    created = rest.create("/Tasks", is_stable=False, Attributes="{}")
    workflow = rest.taskrouter.workflow_sid
    no_queue = ("task_queue_sid", "task_queue_friendly_name", "task_queue_entered_date")
    assert created == {
        **created,
        **dict.fromkeys(no_queue),
        "links": task_links(rest, created["sid"], workflow=f"/Workflows/{workflow}"),
    }


def test_reservation_has_every_field(rest):
    alice = rest.taskrouter.workers["Alice"]
    rest.update(f"/Workers/{alice}", ActivitySid=rest.taskrouter.activities["Idle"])
    task = rest.create("/Tasks", is_stable=False, Attributes=SPANISH)["sid"]
    dates = rest.dates()
    (listed,) = rest.get(f"/Tasks/{task}/Reservations")["reservations"]
    parents = {"task": f"{rest.url}/Tasks/{task}", "worker": f"{rest.url}/Workers/{alice}"}
    expected = {
        **rest.common,
        **dates,
        "links": {**parents, "workspace": rest.url},
        "reservation_status": "pending",
        "sid": listed["sid"],
        "task_sid": task,
        "worker_name": "Alice",
        "worker_sid": alice,
        "url": f"{parents['task']}/Reservations/{listed['sid']}",
    }
    assert listed == expected == rest.get(f"/Tasks/{task}/Reservations/{listed['sid']}")
    by_worker = {**expected, "url": f"{parents['worker']}/Reservations/{listed['sid']}"}
    path = f"/Workers/{alice}/Reservations"
    assert rest.get(path)["reservations"] == [by_worker] == [rest.get(f"{path}/{listed['sid']}")]
    by_worker |= {"reservation_status": "accepted", "date_updated": rest.now(after=5)}
    assert rest.update(f"{path}/{listed['sid']}", ReservationStatus="accepted") == by_worker
    assert rest.update(f"{path}/{listed['sid']}") == by_worker
    by_worker["reservation_status"] = "wrapping"
    assert rest.update(f"{path}/{listed['sid']}", ReservationStatus="wrapping") == by_worker
    assert rest.get(f"/Tasks/{task}")["assignment_status"] == "wrapping"
