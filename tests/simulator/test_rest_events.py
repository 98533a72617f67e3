"""The list of Events: time filters, order, and each Event's fields and URLs."""

from datetime import UTC, datetime, timedelta

import pytest

from taskrouter_simulator.engine.events import TYPES
from taskrouter_simulator.testing import running
from tests.simulator.conftest import SPANISH, send_request
from tests.simulator.rest_client import Rest


@pytest.fixture
def rest(taskrouter):
    return Rest(taskrouter)


def now(rest):
    seconds = rest.taskrouter._request("POST", "/clock", {"advance": 0})["now"]
    return datetime.fromtimestamp(seconds, UTC)


def is_listed(rest, sid, **filters):
    """Return whether the `task.created` Event of a Task is listed."""
    found = rest.get("/Events", EventType="task.created", PageSize=1000, **filters)["events"]
    return sid in {event["resource_sid"] for event in found}


def create_task(rest):
    return rest.create("/Tasks", is_stable=False, Attributes=SPANISH)["sid"]


@pytest.mark.parametrize(
    ("filters", "minutes"), [({}, 15), ({"Minutes": 1}, 1), ({"Minutes": 20}, 20)]
)
def test_only_events_from_recent_minutes_are_listed(rest, filters, minutes):
    task = create_task(rest)
    rest.taskrouter.advance(60 * minutes - 0.5)
    assert is_listed(rest, task, **filters)
    rest.taskrouter.advance(1)
    assert not is_listed(rest, task, **filters)


def test_events_between_two_dates_are_listed(rest):
    task = create_task(rest)
    created = now(rest)
    rest.taskrouter.advance(7200)
    second = created.replace(microsecond=0)
    later, earlier = second + timedelta(seconds=1), second - timedelta(seconds=1)
    for filters, expected in (
        ({"StartDate": second}, True),
        ({"StartDate": created + timedelta(microseconds=10)}, False),
        ({"StartDate": later}, False),
        ({"StartDate": second, "Minutes": 1}, True),
        ({"EndDate": second}, True),
        ({"EndDate": earlier}, False),
        ({"EndDate": later}, True),
        ({"EndDate": later, "Minutes": 121}, True),
        ({"EndDate": later, "Minutes": 119}, False),
        ({"StartDate": second, "EndDate": second}, True),
        ({"StartDate": earlier, "EndDate": earlier}, False),
        ({"StartDate": later, "EndDate": later}, False),
    ):
        dates = {
            name: value if isinstance(value, int) else value.isoformat()
            for name, value in filters.items()
        }
        assert is_listed(rest, task, **dates) is expected, filters


def test_date_without_time_zone_is_in_utc(rest):
    task = create_task(rest)
    created = now(rest).replace(microsecond=0, tzinfo=None)
    later = (created + timedelta(seconds=1)).isoformat()
    assert is_listed(rest, task, StartDate=created.isoformat())
    assert is_listed(rest, task, StartDate=f"{created.isoformat()}Z")
    assert not is_listed(rest, task, StartDate=later)
    assert is_listed(rest, task, StartDate=f"{later}+01:00")
    assert not is_listed(rest, task, StartDate=f"{created.isoformat()}-01:00")


def test_event_has_every_field(rest):
    rest.taskrouter.advance(0.25)
    task = create_task(rest)
    moment = now(rest)
    (event,) = rest.get("/Events", EventType="task.created", TaskSid=task)["events"]
    assert rest.get(f"/Events/{event['sid']}") == event
    data = event["event_data"]
    assert event == {
        **rest.common,
        "actor_sid": rest.taskrouter.workspace_sid,
        "actor_type": "workspace",
        "actor_url": rest.url,
        "description": "Task created",
        "event_data": data,
        "event_date": rest.now(),
        "event_date_ms": int(moment.timestamp() * 1000),
        "event_type": "task.created",
        "resource_sid": task,
        "resource_type": "task",
        "resource_url": f"{rest.url}/Tasks/{task}",
        "sid": event["sid"],
        "source": "twilio",
        "source_ip_address": None,
        "url": f"{rest.url}/Events/{event['sid']}",
    }
    assert data["task_channel_unique_name"] == "default"
    assert (data["task_sid"], data["timestamp_ms"]) == (task, str(event["event_date_ms"]))


def test_resource_url_of_event_returns_resource(rest):
    alice = rest.taskrouter.workers["Alice"]
    rest.update(f"/Workers/{alice}", ActivitySid=rest.taskrouter.activities["Idle"])
    create_task(rest)
    # A Task without a Workflow is the resource of its routing events.
    queue_sid = next(iter(rest.taskrouter.task_queues.values()))
    rest.create("/Tasks", is_stable=False, TaskQueueSid=queue_sid)
    rest.create("/Activities", FriendlyName="Lunch")
    rest.create("/TaskChannels", FriendlyName="Fax", UniqueName="fax")
    rest.update("", FriendlyName="Renamed")
    types = set()
    for event in rest.get("/Events", PageSize=1000)["events"]:
        types.add(event["resource_type"])
        resource = rest.get(event["resource_url"].removeprefix(rest.url))
        assert resource["sid"] == event["resource_sid"]
    assert types == {
        "activity", "reservation", "task", "task-channel", "task-queue", "worker", "workflow",
        "workspace",
    }  # fmt: skip


def test_event_about_transfer_is_listed_and_has_no_resource_url(rest):
    alice = rest.taskrouter.workers["Alice"]
    rest.update(f"/Workers/{alice}", ActivitySid=rest.taskrouter.activities["Idle"])
    task = create_task(rest)
    rest.taskrouter.advance()
    path = f"/Tasks/{task}/Reservations"
    (reservation,) = rest.get(path)["reservations"]
    rest.update(f"{path}/{reservation['sid']}", ReservationStatus="accepted")
    transfer = rest.taskrouter.transfer(reservation["sid"], rest.taskrouter.workers["Bob"])
    events = rest.get("/Events", TaskSid=task, PageSize=1000)["events"]
    (event,) = (item for item in events if item["event_type"] == "task.transfer-initiated")
    assert rest.get(f"/Events/{event['sid']}") == event
    assert (event["resource_type"], event["resource_sid"]) == ("transfer", transfer["sid"])
    assert event["resource_url"] is None


@pytest.mark.parametrize("event_type", sorted(TYPES))
def test_event_published_on_request_has_url_of_its_task_or_reservation(rest, event_type):
    alice = rest.taskrouter.workers["Alice"]
    rest.update(f"/Workers/{alice}", ActivitySid=rest.taskrouter.activities["Idle"])
    task = create_task(rest)
    rest.taskrouter.advance()
    (reservation,) = rest.get(f"/Tasks/{task}/Reservations")["reservations"]
    body = {"event_type": event_type, "reservation_sid": reservation["sid"]}
    rest.taskrouter._request("POST", "/events", body)
    event = rest.get("/Events", EventType=event_type, PageSize=1000)["events"][-1]
    is_about_reservation = event_type.startswith("reservation.")
    assert event["resource_url"] == (
        reservation["url"] if is_about_reservation else f"{rest.url}/Tasks/{task}"
    )


def test_task_attributes_are_redacted_after_thirty_days(rest):
    task = create_task(rest)
    (event,) = rest.get("/Events", TaskSid=task, EventType="task.created")["events"]
    rest.taskrouter.advance(30 * 86_400)
    assert rest.get(f"/Events/{event['sid']}") == event
    assert event["event_data"]["task_attributes"] == SPANISH
    rest.taskrouter.advance(1)
    redacted = {**event, "event_data": {**event["event_data"], "task_attributes": None}}
    assert rest.get(f"/Events/{event['sid']}") == redacted
    listed = rest.get("/Events", Minutes=43_201, TaskSid=task, EventType="task.created")["events"]
    assert listed == [redacted]
    for other in rest.get("/Events", Minutes=50_000, EventType="worker.created")["events"]:
        assert "task_attributes" not in other["event_data"]
        assert other["event_data"]["worker_attributes"]


@pytest.mark.parametrize("newest_first", [False, True])
def test_events_are_listed_newest_first_only_if_configured(newest_first):
    with running(events_newest_first=newest_first) as taskrouter:
        events = send_request(taskrouter, "GET", "/Events")[1]["events"]
        last = "workflow.created"
        assert (events[0 if newest_first else -1]["event_type"]) == last


def test_error_for_unknown_event_type_lists_allowed_types(taskrouter):
    _, body = send_request(taskrouter, "GET", "/Events", EventType="x")
    assert body["message"].startswith("EventType must be one of activity.created, activity.deleted")
