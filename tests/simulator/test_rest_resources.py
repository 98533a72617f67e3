"""Every field of a resource, after it is created and after each parameter is updated."""

import pytest

from tests.simulator.rest_client import Rest


@pytest.fixture
def rest(taskrouter):
    return Rest(taskrouter)


@pytest.mark.parametrize(
    ("parameters", "available"),
    [({}, False), ({"Available": "true"}, True), ({"Available": "0"}, False)],
)
def test_activity_has_every_field(rest, parameters, available):
    created = rest.create("/Activities", FriendlyName="Lunch", **parameters)
    expected = {
        **rest.common,
        **rest.dates(),
        "available": available,
        "friendly_name": "Lunch",
        "sid": created["sid"],
        "url": f"{rest.url}/Activities/{created['sid']}",
        "links": {"workspace": rest.url},
    }
    assert created == expected
    expected["date_updated"] = rest.now(after=5)
    path = f"/Activities/{created['sid']}"
    assert rest.update(path) == expected
    assert rest.update(path, FriendlyName="Lunch") == expected
    assert rest.update(path, FriendlyName="Dinner") == {**expected, "friendly_name": "Dinner"}


@pytest.mark.parametrize(
    ("parameters", "optimized"), [({}, False), ({"ChannelOptimizedRouting": "true"}, True)]
)
def test_task_channel_has_every_field(rest, parameters, optimized):
    created = rest.create("/TaskChannels", FriendlyName="Fax", UniqueName="fax", **parameters)
    expected = {
        **rest.common,
        **rest.dates(),
        "friendly_name": "Fax",
        "unique_name": "fax",
        "channel_optimized_routing": optimized,
        "sid": created["sid"],
        "url": f"{rest.url}/TaskChannels/{created['sid']}",
        "links": {"workspace": rest.url},
    }
    assert created == expected == rest.get("/TaskChannels/fax")
    expected["date_updated"] = rest.now(after=5)
    path = f"/TaskChannels/{created['sid']}"
    assert rest.update(path) == expected
    expected["friendly_name"] = "Telefax"
    assert rest.update(path, FriendlyName="Telefax") == expected
    for value in (True, False):
        expected["channel_optimized_routing"] = value
        assert rest.update(path, ChannelOptimizedRouting=str(value)) == expected
        assert rest.update(path) == expected


def test_worker_has_every_field(rest):
    offline, idle = (rest.taskrouter.activities[name] for name in ("Offline", "Idle"))
    created = rest.create("/Workers", FriendlyName="Carol")
    url = f"{rest.url}/Workers/{created['sid']}"
    expected = {
        **rest.common,
        **rest.dates(),
        "date_status_changed": rest.now(),
        "activity_name": "Offline",
        "activity_sid": offline,
        "attributes": "{}",
        "available": False,
        "friendly_name": "Carol",
        "sid": created["sid"],
        "url": url,
        "links": {
            "channels": f"{url}/Channels",
            "activity": f"{rest.url}/Activities/{offline}",
            "workspace": rest.url,
            "statistics": f"{rest.url}/Workers/Statistics",
            "real_time_statistics": f"{rest.url}/Workers/RealTimeStatistics",
            "cumulative_statistics": f"{rest.url}/Workers/CumulativeStatistics",
            "worker_statistics": f"{url}/Statistics",
            "worker_channels": f"{url}/Channels",
            "reservations": f"{url}/Reservations",
        },
    }
    assert created == expected
    path = f"/Workers/{created['sid']}"
    expected["date_updated"] = rest.now(after=5)
    assert rest.update(path) == expected
    assert rest.update(path, ActivitySid=offline) == expected
    assert rest.update(path, RejectPendingReservations="false") == expected
    expected["attributes"] = '{"a": 1}'
    assert rest.update(path, Attributes='{"a": 1}') == expected
    expected["friendly_name"] = "Dora"
    assert rest.update(path, FriendlyName="Dora") == expected
    changed = {"activity_sid": idle, "activity_name": "Idle", "available": True}
    expected |= {**changed, "date_status_changed": rest.now()}
    expected["links"]["activity"] = f"{rest.url}/Activities/{idle}"
    assert rest.update(path, ActivitySid=idle) == expected


def test_worker_is_created_with_given_activity_and_attributes(rest):
    idle = rest.taskrouter.activities["Idle"]
    created = rest.create("/Workers", FriendlyName="Carol", Attributes='{"a": 1}', ActivitySid=idle)
    assert (created["attributes"], created["activity_sid"]) == ('{"a": 1}', idle)


def test_worker_channel_has_every_field(rest):
    alice = rest.taskrouter.workers["Alice"]
    voice = rest.get("/TaskChannels/voice")["sid"]
    channel = rest.get(f"/Workers/{alice}/Channels/voice")
    path = f"/Workers/{alice}/Channels/{channel['sid']}"
    expected = {
        **rest.common,
        "date_created": channel["date_created"],
        "date_updated": channel["date_created"],
        "assigned_tasks": 0,
        "available": True,
        "available_capacity_percentage": 100,
        "configured_capacity": 1,
        "sid": channel["sid"],
        "task_channel_sid": voice,
        "task_channel_unique_name": "voice",
        "worker_sid": alice,
        "url": rest.url + path,
    }
    for identifier in (channel["sid"], voice, "voice"):
        assert rest.get(f"/Workers/{alice}/Channels/{identifier}") == expected
    expected["date_updated"] = rest.now(after=5)
    assert rest.update(path) == expected
    for capacity in (100_000, 0):
        percentage = 100 if capacity else 0
        expected |= {
            "configured_capacity": capacity,
            "available_capacity_percentage": percentage,
        }
        assert rest.update(path, Capacity=capacity) == expected
    for available in (False, True):
        expected["available"] = available
        assert rest.update(path, Available=str(available)) == expected


def queue_activities(rest, **names):
    """Return the fields and links of a TaskQueue that depend on its Activities."""
    fields, links = {}, {}
    for role in ("assignment", "reservation"):
        name = names[role]
        sid = rest.taskrouter.activities[name] if name else None
        fields |= {f"{role}_activity_sid": sid, f"{role}_activity_name": name}
        if sid:
            links[f"{role}_activity"] = f"{rest.url}/Activities/{sid}"
    return fields, links


def expected_queue(rest, created, fields, links):
    url = f"{rest.url}/TaskQueues/{created['sid']}"
    collection = f"{rest.url}/TaskQueues"
    return {
        **rest.common,
        **rest.dates(),
        **fields,
        "friendly_name": "All",
        "max_reserved_workers": 1,
        "target_workers": "1==1",
        "task_order": "FIFO",
        "sid": created["sid"],
        "url": url,
        "links": {
            **links,
            "workspace": rest.url,
            "statistics": f"{url}/Statistics",
            "real_time_statistics": f"{url}/RealTimeStatistics",
            "cumulative_statistics": f"{url}/CumulativeStatistics",
            "list_statistics": f"{collection}/Statistics",
            "bulk_real_time_statistics": f"{collection}/RealTimeStatistics",
        },
    }


def test_task_queue_has_every_field(rest):
    created = rest.create("/TaskQueues", FriendlyName="All")
    fields, links = queue_activities(rest, assignment="Busy", reservation="Reserved")
    expected = expected_queue(rest, created, fields, links)
    assert created == expected
    path = f"/TaskQueues/{created['sid']}"
    expected["date_updated"] = rest.now(after=5)
    assert rest.update(path) == expected
    for name, field, value in (
        ("FriendlyName", "friendly_name", "Every"),
        ("MaxReservedWorkers", "max_reserved_workers", 50),
        ("TaskOrder", "task_order", "LIFO"),
        ("TargetWorkers", "target_workers", "1==2"),
        ("TargetWorkers", "target_workers", ""),
    ):
        expected[field] = value
        assert rest.update(path, **{name: value}) == expected
        assert rest.update(path) == expected
    idle = rest.taskrouter.activities["Idle"]
    fields, links = queue_activities(rest, assignment="Idle", reservation="Reserved")
    expected |= fields
    expected["links"] |= links
    assert rest.update(path, AssignmentActivitySid=idle) == expected
    fields, links = queue_activities(rest, assignment="Idle", reservation="Idle")
    expected |= fields
    expected["links"] |= links
    assert rest.update(path, ReservationActivitySid=idle) == expected


def test_task_queue_is_created_with_given_parameters(rest):
    idle, offline = (rest.taskrouter.activities[name] for name in ("Idle", "Offline"))
    created = rest.create(
        "/TaskQueues", FriendlyName="All", TargetWorkers="", ReservationActivitySid=idle,
        AssignmentActivitySid=offline, MaxReservedWorkers=2, TaskOrder="lifo",
    )  # fmt: skip
    given = {"target_workers": "", "max_reserved_workers": 2, "task_order": "LIFO"}
    fields, _ = queue_activities(rest, assignment="Offline", reservation="Idle")
    assert created == {**created, **given, **fields}


def test_task_queue_without_activities_has_null_fields(rest):
    rest.taskrouter.reset({"friendly_name": "New", "activities": [{"friendly_name": "Gone"}]})
    created = rest.create("/TaskQueues", FriendlyName="All")
    fields, _ = queue_activities(rest, assignment=None, reservation=None)
    assert created == {**created, **fields}
    assert not [name for name in created["links"] if name.endswith("activity")]


def test_workflow_has_every_field(rest):
    queue_sid = next(iter(rest.taskrouter.task_queues.values()))
    text = rest.workflow(queue_sid)
    created = rest.create("/Workflows", FriendlyName="Main", Configuration=text)
    url = f"{rest.url}/Workflows/{created['sid']}"
    expected = {
        **rest.common,
        **rest.dates(),
        "assignment_callback_url": None,
        "fallback_assignment_callback_url": None,
        "configuration": text,
        "document_content_type": "application/json",
        "friendly_name": "Main",
        "task_reservation_timeout": 120,
        "sid": created["sid"],
        "url": url,
        "links": {
            "statistics": f"{url}/Statistics",
            "real_time_statistics": f"{url}/RealTimeStatistics",
            "cumulative_statistics": f"{url}/CumulativeStatistics",
        },
    }
    assert created == expected
    path = f"/Workflows/{created['sid']}"
    expected["date_updated"] = rest.now(after=5)
    assert rest.update(path) == expected
    for name, field, value in (
        ("FriendlyName", "friendly_name", "Other"),
        ("Configuration", "configuration", f" {text}"),
        ("AssignmentCallbackUrl", "assignment_callback_url", "http://127.0.0.1:9/a"),
        ("FallbackAssignmentCallbackUrl", "fallback_assignment_callback_url", "http://b/"),
        ("TaskReservationTimeout", "task_reservation_timeout", 86_400),
        ("AssignmentCallbackUrl", "assignment_callback_url", ""),
        ("FallbackAssignmentCallbackUrl", "fallback_assignment_callback_url", ""),
    ):
        expected[field] = value or None
        assert rest.update(path, **{name: value}) == expected
        assert rest.update(path) == expected


def test_workflow_is_created_with_given_parameters(rest):
    queue_sid = next(iter(rest.taskrouter.task_queues.values()))
    created = rest.create(
        "/Workflows", FriendlyName="Main", Configuration=rest.workflow(queue_sid),
        AssignmentCallbackUrl="http://a/", FallbackAssignmentCallbackUrl="http://b/",
        TaskReservationTimeout=1,
    )  # fmt: skip
    assert created["assignment_callback_url"] == "http://a/"
    assert created["fallback_assignment_callback_url"] == "http://b/"
    assert created["task_reservation_timeout"] == 1


def listed_names(rest, resource, key, ordering):
    names = [item["friendly_name"] for item in rest.get(resource, Ordering=ordering)[key]]
    return [name for name in names if name in {"A", "B", "C"}]


@pytest.mark.parametrize(
    ("resource", "key"), [("/Workers", "workers"), ("/TaskQueues", "task_queues")]
)
def test_workers_and_queues_can_be_sorted_by_every_key(rest, resource, key):
    sids = {}
    for name in ("B", "C", "A"):
        sids[name] = rest.create(resource, FriendlyName=name)["sid"]
        rest.now(after=1)
    idle = rest.taskrouter.activities["Idle"]
    update = {"ActivitySid": idle} if key == "workers" else {}
    for name in ("C", "B"):
        rest.update(f"{resource}/{sids[name]}", **update)
        rest.now(after=1)
    if key == "workers":
        rest.update(f"{resource}/{sids['C']}", Attributes='{"a": 1}')
    expected = {"DateCreated": "BCA", "FriendlyName": "ABC", "DateUpdated": "ACB"}
    if key == "workers":
        expected |= {"DateUpdated": "ABC", "DateStatusChanged": "ACB"}
    for name, order in expected.items():
        assert listed_names(rest, resource, key, f"{name}:asc") == list(order)
        assert listed_names(rest, resource, key, f"{name}:desc") == list(reversed(order))


def test_workspaces_are_filtered_by_friendly_name(taskrouter):
    workspaces = taskrouter.client().taskrouter.v1.workspaces
    sales = workspaces.create(friendly_name="Sales")
    assert [found.sid for found in workspaces.list(friendly_name="Sales")] == [sales.sid]
    assert workspaces.list(friendly_name="sale") == []
    assert {found.sid for found in workspaces.list()} == {taskrouter.workspace_sid, sales.sid}
