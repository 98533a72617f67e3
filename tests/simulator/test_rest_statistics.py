"""The statistics of Workspaces, Workers, TaskQueues and Workflows over HTTP."""

import json
from datetime import datetime, timedelta

import pytest
import requests

from taskrouter_simulator.testing import running
from tests.simulator.conftest import SPANISH, send_request
from tests.simulator.rest_client import Rest

NOTHING = dict.fromkeys(
    (
        *("tasks_completed", "tasks_canceled", "tasks_deleted", "tasks_moved"),
        *("reservations_created", "reservations_accepted", "reservations_rejected"),
        *("reservations_timed_out", "reservations_canceled", "reservations_rescinded"),
        "avg_task_acceptance_time",
    ),
    0,
)
DAY = 86_400


class ContactCenter(Rest):
    """The quickstart's Workspace; `create_task` creates Tasks for the Spanish TaskQueue."""

    def __init__(self, taskrouter):
        super().__init__(taskrouter)
        self.workflow_sid = taskrouter.workflow_sid
        self.queues = taskrouter.task_queues
        self.spanish = self.queues["Customer Care Requests - Spanish"]
        self.english = self.queues["Customer Care Requests - English"]
        self.alice, self.bob = taskrouter.workers["Alice"], taskrouter.workers["Bob"]

    def create_task(self, **parameters):
        return self.create("/Tasks", is_stable=False, Attributes=SPANISH, **parameters)["sid"]

    def set_activity(self, worker_sid, name):
        sid = self.taskrouter.activities[name]
        send_request(self.taskrouter, "POST", f"/Workers/{worker_sid}", ActivitySid=sid)
        self.taskrouter.advance()

    def set_reservation_status(self, task_sid, status):
        path = f"/Tasks/{task_sid}/Reservations"
        (*_, reservation) = self.get(path)["reservations"]
        changes = {"ReservationStatus": status}
        send_request(self.taskrouter, "POST", f"{path}/{reservation['sid']}", **changes)
        self.taskrouter.advance()

    def close_task(self, task_sid, status):
        changes = {"AssignmentStatus": status, "Reason": "test"}
        status_code, _ = send_request(self.taskrouter, "POST", f"/Tasks/{task_sid}", **changes)
        assert status_code == 200
        self.taskrouter.advance()

    def error_for(self, path, **parameters):
        status, body = send_request(self.taskrouter, "GET", path, **parameters)
        assert status == 400
        return body["code"], body["message"]

    def moment(self, **ago):
        """Return the current time minus a period, in whole seconds."""
        now = datetime.fromisoformat(self.now())
        return (now - timedelta(**ago)).isoformat().replace("+00:00", "Z")

    def count(self, name="tasks_created", **parameters):
        return self.get("/CumulativeStatistics", **parameters)[name]

    def activities(self, **workers):
        """Return the given numbers of Workers by Activity, in the format of a response."""
        sids = self.taskrouter.activities
        return [
            {"friendly_name": name, "sid": sid, "workers": workers.get(name, 0)}
            for name, sid in sids.items()
        ]


@pytest.fixture
def center(taskrouter):
    center = ContactCenter(taskrouter)
    now = taskrouter._request("POST", "/clock", {"advance": 0})["now"]
    taskrouter.advance(-now % 1)  # `moment` returns whole seconds.
    return center


def durations(*seconds):
    total = sum(seconds)
    return {
        "avg": total // len(seconds) if seconds else 0,
        "min": min(seconds, default=0),
        "max": max(seconds, default=0),
        "total": total,
    }


@pytest.fixture
def active_center(center):
    """A contact center with a completed Task, a canceled Task and a waiting Task.

    Alice rejected the completed Task once before she accepted it.
    """
    first = center.create_task(Priority=3)
    center.taskrouter.advance(10)
    center.set_activity(center.alice, "Idle")
    center.set_reservation_status(first, "rejected")
    center.taskrouter.advance(1)  # the Task is offered to Alice again
    center.taskrouter.advance(3)
    center.set_reservation_status(first, "accepted")
    second = center.create_task(TaskChannel="voice")
    center.taskrouter.advance(6)
    center.close_task(first, "completed")
    center.close_task(second, "canceled")
    center.waiting_sid = center.create_task()
    center.taskrouter.advance(2)
    return center


def test_workspace_statistics_have_every_field(active_center):
    url = f"{active_center.url}/Statistics"
    expected = {
        **NOTHING,
        "start_time": active_center.moment(minutes=15),
        "end_time": active_center.moment(),
        "tasks_created": 3,
        "tasks_completed": 1,
        "tasks_canceled": 1,
        "tasks_timed_out_in_workflow": 0,
        "reservations_created": 2,
        "reservations_accepted": 1,
        "reservations_rejected": 1,
        "avg_task_acceptance_time": 14,
        "wait_duration_until_accepted": durations(14),
        "wait_duration_until_canceled": durations(6),
        "split_by_wait_time": None,
    }
    real_time = {
        "activity_statistics": active_center.activities(Busy=1, Offline=1),
        "longest_task_waiting_age": 2,
        "longest_task_waiting_sid": active_center.waiting_sid,
        "tasks_by_priority": {"0": 1},
        "tasks_by_status": {"pending": 1, "reserved": 0, "assigned": 0, "wrapping": 0},
        "total_tasks": 1,
        "total_workers": 2,
    }
    assert active_center.get("/Statistics") == {
        **active_center.common, "url": url, "cumulative": expected, "realtime": real_time,
    }  # fmt: skip
    common = {**active_center.common, "url": f"{active_center.url}/CumulativeStatistics"}
    assert active_center.get("/CumulativeStatistics") == {**common, **expected}
    common = {**active_center.common, "url": f"{active_center.url}/RealTimeStatistics"}
    assert active_center.get("/RealTimeStatistics") == {**common, **real_time}


def test_workflow_statistics_have_every_field(active_center):
    path = f"/Workflows/{active_center.workflow_sid}"
    sid = {**active_center.common, "workflow_sid": active_center.workflow_sid}
    expected = {
        **active_center.get("/CumulativeStatistics"),
        "tasks_entered": 3,
        **sid,
        "url": f"{active_center.url}{path}/CumulativeStatistics",
    }
    del expected["tasks_created"]
    assert active_center.get(f"{path}/CumulativeStatistics") == expected
    real_time = {
        **active_center.get("/RealTimeStatistics"),
        **sid,
        "url": f"{active_center.url}{path}/RealTimeStatistics",
    }
    del real_time["activity_statistics"], real_time["total_workers"]
    assert active_center.get(f"{path}/RealTimeStatistics") == real_time
    envelope = {**sid, "url": f"{active_center.url}{path}/Statistics"}
    assert active_center.get(f"{path}/Statistics") == {
        **envelope,
        "cumulative": {name: expected[name] for name in expected.keys() - envelope.keys()},
        "realtime": {name: real_time[name] for name in real_time.keys() - envelope.keys()},
    }


def test_statistics_of_workflow_without_tasks_are_zero(active_center):
    other = active_center.create(
        "/Workflows",
        FriendlyName="Other",
        Configuration=active_center.workflow(active_center.spanish),
    )
    path = f"/Workflows/{other['sid']}"
    cumulative = active_center.get(f"{path}/CumulativeStatistics")
    assert {name: cumulative[name] for name in NOTHING} == NOTHING
    assert cumulative["tasks_entered"] == cumulative["tasks_timed_out_in_workflow"] == 0
    assert active_center.get(f"{path}/RealTimeStatistics")["total_tasks"] == 0


def test_task_queue_statistics_have_every_field(active_center):
    path = f"/TaskQueues/{active_center.spanish}"
    sid = {**active_center.common, "task_queue_sid": active_center.spanish}
    expected = {
        **active_center.get("/CumulativeStatistics"),
        "tasks_entered": 3,
        "wait_duration_in_queue_until_accepted": durations(14),
        **sid,
        "url": f"{active_center.url}{path}/CumulativeStatistics",
    }
    del expected["tasks_created"], expected["tasks_timed_out_in_workflow"]
    assert active_center.get(f"{path}/CumulativeStatistics") == expected
    real_time = {
        **active_center.get("/RealTimeStatistics"),
        "activity_statistics": active_center.activities(Busy=1),
        "longest_relative_task_age_in_queue": 2,
        "longest_relative_task_sid_in_queue": active_center.waiting_sid,
        "total_available_workers": 0,
        "total_eligible_workers": 1,
        **sid,
        "url": f"{active_center.url}{path}/RealTimeStatistics",
    }
    del real_time["total_workers"]
    assert active_center.get(f"{path}/RealTimeStatistics") == real_time
    envelope = {**sid, "url": f"{active_center.url}{path}/Statistics"}
    assert active_center.get(f"{path}/Statistics") == {
        **envelope,
        "cumulative": {name: expected[name] for name in expected.keys() - envelope.keys()},
        "realtime": {name: real_time[name] for name in real_time.keys() - envelope.keys()},
    }


def test_statistics_of_task_queue_without_tasks_count_its_workers(active_center):
    active_center.set_activity(active_center.alice, "Idle")
    path = f"/TaskQueues/{active_center.english}"
    cumulative = active_center.get(f"{path}/CumulativeStatistics")
    assert {name: cumulative[name] for name in NOTHING} == NOTHING
    assert cumulative["tasks_entered"] == 0
    real_time = active_center.get(f"{path}/RealTimeStatistics")
    assert real_time["total_tasks"] == real_time["longest_relative_task_age_in_queue"] == 0
    assert real_time["longest_relative_task_sid_in_queue"] is None
    assert real_time["total_eligible_workers"] == 2
    # Alice is Reserved, because the waiting Task was offered to her.
    assert real_time["activity_statistics"] == active_center.activities(Reserved=1, Offline=1)
    assert real_time["total_available_workers"] == 0
    active_center.set_activity(active_center.bob, "Idle")
    assert active_center.get(f"{path}/RealTimeStatistics")["total_available_workers"] == 1


def test_relative_age_is_measured_from_entry_into_the_task_queue(center):
    targets = [{"queue": center.spanish, "timeout": 10}, {"queue": center.english}]
    routing = {"filters": [{"expression": "1==1", "targets": targets}]}
    configuration = json.dumps({"task_routing": routing})
    workflow = center.create("/Workflows", FriendlyName="Moving", Configuration=configuration)
    task = center.create_task(WorkflowSid=workflow["sid"])
    center.taskrouter.advance(13)
    real_time = center.get(f"/TaskQueues/{center.english}/RealTimeStatistics")
    assert real_time["longest_task_waiting_age"] == 13
    assert real_time["longest_relative_task_age_in_queue"] == 3
    assert real_time["longest_relative_task_sid_in_queue"] == task
    left = center.get(f"/TaskQueues/{center.spanish}/CumulativeStatistics")
    entered = center.get(f"/TaskQueues/{center.english}/CumulativeStatistics")
    assert [(item["tasks_entered"], item["tasks_moved"]) for item in (left, entered)] == [
        (1, 1), (1, 0),
    ]  # fmt: skip
    moved = center.get(f"/Workflows/{workflow['sid']}/CumulativeStatistics")["tasks_moved"]
    assert moved == center.count("tasks_moved") == 1


def test_task_that_reaches_the_end_of_its_workflow_is_counted(center):
    targets = [{"queue": center.spanish, "timeout": 10}]
    routing = {"filters": [{"expression": "1==1", "targets": targets}]}
    configuration = json.dumps({"task_routing": routing})
    workflow = center.create("/Workflows", FriendlyName="Short", Configuration=configuration)
    center.create_task(WorkflowSid=workflow["sid"])
    center.taskrouter.advance(11)
    for path in "", f"/Workflows/{workflow['sid']}":
        cumulative = center.get(f"{path}/CumulativeStatistics")
        assert cumulative["tasks_timed_out_in_workflow"] == cumulative["tasks_canceled"] == 1
        assert cumulative["wait_duration_until_canceled"] == durations(10)


def test_deleted_task_is_counted(center):
    task = center.create_task()
    response = requests.delete(
        f"{center.url}/Tasks/{task}",
        auth=(center.taskrouter.account_sid, center.taskrouter.auth_token),
        timeout=5,
    )
    assert response.status_code == 204
    assert center.count("tasks_deleted") == 1
    assert center.count("tasks_canceled") == center.count("tasks_completed") == 0
    path = f"/TaskQueues/{center.spanish}/CumulativeStatistics"
    assert center.get(path)["tasks_deleted"] == 1


def test_closed_task_is_counted_after_it_is_deleted(active_center):
    active_center.taskrouter.advance(600)
    assert len(active_center.get("/Tasks")["tasks"]) == 1
    assert active_center.count("tasks_completed") == active_center.count("tasks_canceled") == 1
    active_center.taskrouter.advance(29 * DAY)
    assert active_center.count("tasks_completed", Minutes=43_200) == 1
    active_center.taskrouter.advance(DAY)
    assert active_center.count("tasks_completed", Minutes=43_200) == 0


@pytest.mark.parametrize("setting", [False, True])
def test_real_time_statistics_count_closed_tasks_only_if_configured(setting):
    with running(closed_tasks_in_statistics=setting) as taskrouter:
        center = ContactCenter(taskrouter)
        center.close_task(center.create_task(), "canceled")
        for path in "", f"/Workflows/{center.workflow_sid}", f"/TaskQueues/{center.spanish}":
            real_time = center.get(f"{path}/RealTimeStatistics")
            closed = {"completed": 0, "canceled": 1} if setting else {}
            expected = {"pending": 0, "reserved": 0, "assigned": 0, "wrapping": 0, **closed}
            assert real_time["tasks_by_status"] == expected
            assert real_time["total_tasks"] == setting
            assert real_time["longest_task_waiting_sid"] is None


def test_statistics_of_all_workers_have_every_field(active_center):
    expected = {
        "start_time": active_center.moment(minutes=15),
        "end_time": active_center.moment(),
        "reservations_created": 2,
        "reservations_accepted": 1,
        "reservations_rejected": 1,
        "reservations_timed_out": 0,
        "reservations_canceled": 0,
        "reservations_rescinded": 0,
        "activity_durations": [
            {"friendly_name": name, "sid": sid, **durations(*seconds)}
            for (name, sid), seconds in zip(
                active_center.taskrouter.activities.items(),
                [(10, 22), (1,), (8,), (3,)],
                strict=True,
            )
        ],
    }
    real_time = {
        "activity_statistics": active_center.activities(Busy=1, Offline=1), "total_workers": 2,
    }  # fmt: skip
    common = {**active_center.common, "url": f"{active_center.url}/Workers/CumulativeStatistics"}
    assert list(active_center.taskrouter.activities) == ["Offline", "Idle", "Busy", "Reserved"]
    assert active_center.get("/Workers/CumulativeStatistics") == {**common, **expected}
    common = {**active_center.common, "url": f"{active_center.url}/Workers/RealTimeStatistics"}
    assert active_center.get("/Workers/RealTimeStatistics") == {**common, **real_time}
    common = {**active_center.common, "url": f"{active_center.url}/Workers/Statistics"}
    assert active_center.get("/Workers/Statistics") == {
        **common, "cumulative": expected, "realtime": real_time,
    }  # fmt: skip


def test_statistics_of_one_worker_count_only_that_worker(active_center):
    for sid, created, offline in (active_center.alice, 2, 10), (active_center.bob, 0, 22):
        path = f"/Workers/{sid}/Statistics"
        statistics = active_center.get(path)
        cumulative = statistics.pop("cumulative")
        assert statistics == {
            **active_center.common,
            "worker_sid": sid,
            "url": f"{active_center.url}{path}",
        }
        assert cumulative["reservations_created"] == created
        assert cumulative["activity_durations"][0]["total"] == offline


@pytest.mark.parametrize(
    ("filters", "workers", "created", "offline"),
    [
        ({"FriendlyName": "alice"}, 1, 2, 10),
        ({"FriendlyName": "Bob"}, 1, 0, 22),
        ({"FriendlyName": "Carol"}, 0, 0, 0),
        ({"TaskQueueName": "Customer Care Requests - Spanish"}, 1, 2, 10),
        ({"TaskQueueName": "Customer Care Requests - English"}, 2, 2, 32),
        ({"TaskQueueSid": "{spanish}"}, 1, 2, 10),
        ({"TaskQueueSid": "{spanish}", "FriendlyName": "Bob"}, 0, 0, 0),
        ({"TaskQueueSid": "WQ" + "0" * 32}, 0, 0, 0),
        ({}, 2, 2, 32),
    ],
)
def test_statistics_of_all_workers_are_filtered(active_center, filters, workers, created, offline):
    filters = {name: value.format(spanish=active_center.spanish) for name, value in filters.items()}
    statistics = active_center.get("/Workers/Statistics", **filters)
    assert statistics["realtime"]["total_workers"] == workers
    counts = statistics["realtime"]["activity_statistics"]
    assert sum(item["workers"] for item in counts) == workers
    assert statistics["cumulative"]["reservations_created"] == created
    assert statistics["cumulative"]["activity_durations"][0]["total"] == offline


def test_statistics_of_all_workers_include_deleted_workers(active_center):
    active_center.set_activity(active_center.alice, "Offline")
    active_center.taskrouter.advance(60)
    response = requests.delete(
        f"{active_center.url}/Workers/{active_center.alice}",
        auth=(active_center.taskrouter.account_sid, active_center.taskrouter.auth_token),
        timeout=5,
    )
    assert response.status_code == 204
    for path in "/Workers/CumulativeStatistics", "/Workers/Statistics":
        body = active_center.get(path)
        cumulative = body.get("cumulative", body)
        assert cumulative["reservations_created"] == 2
        assert cumulative["activity_durations"][0]["total"] == 10 + 60 + 82
    assert active_center.get("/Workers/RealTimeStatistics")["total_workers"] == 1


@pytest.mark.parametrize(
    "path",
    [
        *("/Workers/RealTimeStatistics", "/Workers/CumulativeStatistics", "/Workers/Statistics"),
        "/Workers/{alice}/Statistics",
    ],
)
def test_statistics_of_workers_are_unavailable_above_the_configured_number_of_workers(path):
    with running(worker_statistics_limit=2) as taskrouter:
        center = ContactCenter(taskrouter)
        path = path.format(alice=center.alice)
        center.get(path)
        center.create("/Workers", FriendlyName="Carol")
        message = "Statistics of Workers are not available in a Workspace with more than 2 Workers"
        assert center.error_for(path) == (20001, message)
        center.get("/Statistics")
    with running(worker_statistics_limit=0) as taskrouter:
        ContactCenter(taskrouter).get(path if "WK" not in path else "/Workers/Statistics")


TASK_PATHS = ["", "/Workflows/{workflow}", "/TaskQueues/{spanish}"]
CUMULATIVE_PATHS = [f"{path}/CumulativeStatistics" for path in (*TASK_PATHS, "/Workers")]
BOTH_PATHS = [f"{path}/Statistics" for path in (*TASK_PATHS, "/Workers", "/Workers/{alice}")]
INTERVAL_PATHS = [*CUMULATIVE_PATHS, *BOTH_PATHS, "/TaskQueues/Statistics"]
REAL_TIME_PATHS = [f"{path}/RealTimeStatistics" for path in (*TASK_PATHS, "/Workers")]


def fill_path(center, path):
    return path.format(workflow=center.workflow_sid, spanish=center.spanish, alice=center.alice)


@pytest.mark.parametrize("path", INTERVAL_PATHS)
def test_interval_is_validated(center, path):
    path = fill_path(center, path)
    too_old = (14241, "The interval must not begin more than 30 days ago")
    combined = (20001, "Minutes must not be combined with StartDate or EndDate")
    empty = (20001, "StartDate must not be later than EndDate, which defaults to now")
    for parameters, expected in (
        ({"StartDate": center.moment(days=30, seconds=1)}, too_old),
        ({"EndDate": center.moment(days=30)}, too_old),
        ({"Minutes": 43_201}, too_old),
        ({"Minutes": 10**9}, too_old),
        ({"Minutes": 5, "StartDate": center.moment()}, combined),
        ({"Minutes": 5, "EndDate": center.moment()}, combined),
        ({"StartDate": center.moment(seconds=-10)}, empty),
        ({"StartDate": center.moment(days=1), "EndDate": center.moment(days=1, seconds=1)}, empty),
        ({"Minutes": 0}, (20001, "Minutes must be a whole number from 1 to 1000000000")),
        ({"Minutes": 10**9 + 1}, (20001, "Minutes must be a whole number from 1 to 1000000000")),
        ({"StartDate": "today"}, (20001, "StartDate must be an ISO 8601 date and time")),
        ({"EndDate": "9999-12-31T23:59:59-00:01"},
         (20001, "EndDate must be an ISO 8601 date and time")),
        ({"EndDate": ""}, (20001, "EndDate must be an ISO 8601 date and time")),
        ({"TaskChannel": "fax"},
         (20001, f"TaskChannel fax does not exist in workspace {center.taskrouter.workspace_sid}")),
        ({"TaskChannel": " "}, (20001, "TaskChannel must not be empty")),
    ):  # fmt: skip
        assert center.error_for(path, **parameters) == expected, parameters
    for parameters in (
        {"StartDate": center.moment(days=30)},
        {"EndDate": center.moment(days=29, hours=23, minutes=45)},
        {"Minutes": 43_200},
        {"Minutes": 1},
        {"StartDate": center.moment(hours=1), "EndDate": center.moment(hours=1)},
        {"StartDate": center.moment(hours=1), "EndDate": "9999-12-31T23:59:59Z"},
        {"TaskChannel": "voice"},
    ):
        center.get(path, **parameters)


def test_error_about_old_statistics_links_to_its_documentation(center):
    status, body = send_request(
        center.taskrouter, "GET", "/Statistics", StartDate="2008-01-02T00:00:00Z"
    )
    assert (status, body["status"]) == (400, 400)
    assert body["more_info"] == "https://www.twilio.com/docs/errors/14241"


def test_interval_may_begin_thirty_days_before_the_current_second(center):
    center.taskrouter.advance(0.75)
    center.get("/Statistics", StartDate=center.moment(days=30))
    code, _ = center.error_for("/Statistics", StartDate=center.moment(days=30, seconds=1))
    assert code == 14241


def test_interval_is_determined_by_minutes_or_by_start_and_end_dates(center):
    center.create_task()
    center.taskrouter.advance(3600)
    for parameters, start, end, count in (
        ({}, {"minutes": 15}, {}, 0),
        ({"Minutes": 59}, {"minutes": 59}, {}, 0),
        ({"Minutes": 60}, {"minutes": 60}, {}, 1),
        ({"StartDate": center.moment(minutes=61)}, {"minutes": 61}, {}, 1),
        ({"StartDate": center.moment(minutes=59)}, {"minutes": 59}, {}, 0),
        ({"EndDate": center.moment(minutes=60)}, {"minutes": 75}, {"minutes": 60}, 1),
        ({"EndDate": center.moment(minutes=44)}, {"minutes": 59}, {"minutes": 44}, 0),
        ({"EndDate": center.moment(minutes=61)}, {"minutes": 76}, {"minutes": 61}, 0),
        ({"StartDate": center.moment(minutes=70), "EndDate": center.moment(minutes=50)},
         {"minutes": 70}, {"minutes": 50}, 1),
    ):  # fmt: skip
        cumulative = center.get("/CumulativeStatistics", **parameters)
        assert cumulative["start_time"] == center.moment(**start), parameters
        assert cumulative["end_time"] == center.moment(**end), parameters
        assert cumulative["tasks_created"] == count, parameters


def test_interval_is_in_utc_unless_it_specifies_a_time_zone(center):
    center.create_task()
    naive = center.moment()[:-1]
    zone = datetime.fromisoformat(f"{naive}+00:00") + timedelta(hours=2)
    for start in naive, f"{naive}Z", f"{zone.replace(tzinfo=None).isoformat()}+02:00":
        assert center.count(StartDate=start) == 1


def test_activity_durations_are_limited_to_the_interval(center):
    center.taskrouter.advance(100)
    center.set_activity(center.bob, "Busy")
    center.taskrouter.advance(100)
    center.set_activity(center.bob, "Offline")
    center.taskrouter.advance(100)
    interval = {"StartDate": center.moment(seconds=250), "EndDate": center.moment(seconds=150)}
    statistics = center.get(f"/Workers/{center.bob}/Statistics", **interval)
    offline, idle, busy, _ = statistics["cumulative"]["activity_durations"]
    expected = [durations(50), durations(), durations(50)]
    for activity, seconds in zip((offline, idle, busy), expected, strict=True):
        assert {name: activity[name] for name in seconds} == seconds
    statistics = center.get(f"/Workers/{center.bob}/Statistics")
    offline, _, busy, _ = statistics["cumulative"]["activity_durations"]
    for activity, seconds in (offline, durations(100, 100)), (busy, durations(100)):
        assert {name: activity[name] for name in seconds} == seconds


def test_end_date_in_the_future_does_not_prolong_the_current_activity(center):
    center.taskrouter.advance(100)
    end = {"EndDate": center.moment(minutes=-10)}
    statistics = center.get(f"/Workers/{center.bob}/Statistics", **end)
    assert statistics["cumulative"]["end_time"] == end["EndDate"]
    assert statistics["cumulative"]["activity_durations"][0]["total"] == 100


@pytest.mark.parametrize("channel", ["voice", "{sid}"])
def test_statistics_are_filtered_by_task_channel(active_center, channel):
    channels = active_center.get("/TaskChannels")["channels"]
    sid = next(item["sid"] for item in channels if item["unique_name"] == "voice")
    channel = channel.format(sid=sid)
    for path in CUMULATIVE_PATHS[:3]:
        cumulative = active_center.get(fill_path(active_center, path), TaskChannel=channel)
        assert cumulative["tasks_canceled"] == 1, path
        assert cumulative["tasks_completed"] == cumulative["reservations_created"] == 0
    for path in BOTH_PATHS[:3]:
        statistics = active_center.get(fill_path(active_center, path), TaskChannel=channel)
        assert statistics["cumulative"]["tasks_canceled"] == 1
        assert statistics["realtime"]["total_tasks"] == 0
    workers = active_center.get("/Workers/CumulativeStatistics", TaskChannel=channel)
    assert workers["reservations_created"] == 0
    assert workers["activity_durations"][0]["total"] == 32
    for path in "/Workers/Statistics", f"/Workers/{active_center.alice}/Statistics":
        statistics = active_center.get(path, TaskChannel="default")
        assert statistics["cumulative"]["reservations_created"] == 2
    for path in REAL_TIME_PATHS:
        real_time = active_center.get(fill_path(active_center, path), TaskChannel=channel)
        assert real_time.get("total_tasks", 0) == 0
        assert real_time.get("total_workers", 2) == 2
        real_time = active_center.get(fill_path(active_center, path), TaskChannel="default")
        assert real_time.get("total_tasks", 1) == 1
    queue = fill_path(active_center, REAL_TIME_PATHS[2])
    assert (
        active_center.get(queue, TaskChannel=channel)["longest_relative_task_sid_in_queue"] is None
    )
    listed = active_center.get("/TaskQueues/Statistics", TaskChannel=channel)[
        "task_queues_statistics"
    ]
    spanish = next(item for item in listed if item["task_queue_sid"] == active_center.spanish)
    assert spanish["cumulative"]["tasks_entered"] == 1
    assert spanish["realtime"]["total_tasks"] == 0


@pytest.mark.parametrize("path", REAL_TIME_PATHS)
def test_real_time_statistics_reject_unknown_task_channel(center, path):
    code, message = center.error_for(fill_path(center, path), TaskChannel="fax")
    assert code == 20001
    assert message.startswith("TaskChannel fax does not exist")


@pytest.mark.parametrize("path", [*CUMULATIVE_PATHS[:3], *BOTH_PATHS[:3], "/TaskQueues/Statistics"])
def test_waits_are_split_at_thresholds(active_center, path):
    path = fill_path(active_center, path)

    def split(text):
        body = active_center.get(path, SplitByWaitTime=text)
        if "task_queues_statistics" in body:
            (body,) = (
                item
                for item in body["task_queues_statistics"]
                if item["task_queue_sid"] == active_center.spanish
            )
        return body.get("cumulative", body)["split_by_wait_time"]

    both = {"tasks_canceled": 1, "reservations_accepted": 1}
    none = {"tasks_canceled": 0, "reservations_accepted": 0}
    canceled = {"tasks_canceled": 1, "reservations_accepted": 0}
    accepted = {"tasks_canceled": 0, "reservations_accepted": 1}
    for text in "5,6", " 5 , 6 ":
        assert split(text) == {
            "5": {"above": both, "below": none},
            "6": {"above": accepted, "below": canceled},
        }
    assert split("14") == {"14": {"above": none, "below": both}}
    assert split("0,13,013") == {
        "0": {"above": both, "below": none}, "13": {"above": accepted, "below": canceled},
    }  # fmt: skip
    message = "SplitByWaitTime must be a comma-separated list of whole seconds"
    for text in "", ",", "5,", "-5", "5;6", "5.5", "x", "1234567890", "5 6", "\u0665":
        assert active_center.error_for(path, SplitByWaitTime=text) == (20001, message)
    assert list(split("999999999")) == ["999999999"]


def test_task_queues_statistics_are_listed_in_pages(active_center):
    path = "/TaskQueues/Statistics"
    first = active_center.get(path, PageSize=1)
    assert first["meta"]["key"] == "task_queues_statistics"
    assert first["meta"]["previous_page_url"] is None
    (spanish,) = first["task_queues_statistics"]
    statistics = active_center.get(f"/TaskQueues/{active_center.spanish}/Statistics")
    del statistics["url"]
    assert spanish == statistics
    auth = active_center.taskrouter.account_sid, active_center.taskrouter.auth_token
    second = requests.get(first["meta"]["next_page_url"], auth=auth, timeout=5).json()
    (english,) = second["task_queues_statistics"]
    assert english["task_queue_sid"] == active_center.english
    assert second["meta"]["next_page_url"] is None
    back = requests.get(second["meta"]["previous_page_url"], auth=auth, timeout=5).json()
    assert back["task_queues_statistics"] == [spanish]


def test_task_queues_statistics_are_filtered_by_name(active_center):
    name = "Customer Care Requests - English"
    body = active_center.get("/TaskQueues/Statistics", FriendlyName=name, Minutes=1)
    (english,) = body["task_queues_statistics"]
    assert english["task_queue_sid"] == active_center.english
    assert english["cumulative"]["start_time"] == active_center.moment(minutes=1)
    assert f"FriendlyName={name.replace(' ', '+')}&Minutes=1&PageSize=50" in body["meta"]["url"]
    body = active_center.get("/TaskQueues/Statistics", FriendlyName="english")
    assert body["task_queues_statistics"] == []


def post_bulk(center, body, content_type="application/json"):
    response = requests.post(
        f"{center.url}/TaskQueues/RealTimeStatistics",
        data=body if isinstance(body, bytes) else json.dumps(body),
        headers={"Content-Type": content_type},
        auth=(center.taskrouter.account_sid, center.taskrouter.auth_token),
        timeout=5,
    )
    return response.status_code, response.json()


@pytest.mark.parametrize("name", ["queueSids", "QueueSids"])
def test_bulk_statistics_match_the_statistics_of_each_task_queue(active_center, name):
    unknown = "WQ" + "0" * 32
    status, body = post_bulk(
        active_center, {name: [active_center.english, active_center.spanish, unknown]}
    )
    assert status == 200
    data = body.pop("task_queue_data")
    url = f"{active_center.url}/TaskQueues/RealTimeStatistics"
    assert body == {**active_center.common, "url": url, "task_queue_response_count": 3}
    for item, sid in zip(data[:2], (active_center.english, active_center.spanish), strict=True):
        single = active_center.get(f"/TaskQueues/{sid}/RealTimeStatistics")
        for absent in (
            "account_sid", "workspace_sid", "url",
            "longest_relative_task_age_in_queue", "longest_relative_task_sid_in_queue",
        ):  # fmt: skip
            del single[absent]
        assert item == single
    assert data[2] == {
        "task_queue_sid": unknown,
        "longest_task_waiting_age": 0,
        "longest_task_waiting_sid": None,
        "total_tasks": 0,
        "total_eligible_workers": 0,
        "total_available_workers": 0,
        "tasks_by_status": {"pending": 0, "reserved": 0, "assigned": 0, "wrapping": 0},
        "tasks_by_priority": {},
        "activity_statistics": active_center.activities(),
    }


def test_bulk_request_must_contain_between_one_and_fifty_task_queues(center):
    message = "QueueSids must contain between 1 and 50 TaskQueue SIDs"
    for count, expected in (0, 400), (1, 200), (50, 200), (51, 400):
        status, body = post_bulk(center, {"queueSids": [center.spanish] * count})
        assert status == expected
        if status == 400:
            assert (body["code"], body["message"]) == (20001, message)
        else:
            assert body["task_queue_response_count"] == len(body["task_queue_data"]) == count
    status, body = post_bulk(center, b"")
    assert (status, body["message"]) == (400, message)
    status, body = post_bulk(center, {"other": [center.spanish]})
    assert (status, body["message"]) == (400, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "The body is not JSON or is nested too deeply"),
        (b"[" * 100_000, "The body is not JSON or is nested too deeply"),
        (b"\xff", "The body is not JSON or is nested too deeply"),
        ([], "The body must be a JSON object whose values are arrays of strings"),
        ({"queueSids": "WQ"}, "The body must be a JSON object whose values are arrays of strings"),
        ({"queueSids": [1]}, "The body must be a JSON object whose values are arrays of strings"),
        ({"queueSids": ["WQ1"]}, "QueueSids 'WQ1' is not a valid SID"),
        ({"queueSids": ["\ud800"]}, "QueueSids '?' is not a valid SID"),
        ({"queueSids": [f"{'WQ' + '0' * 32},{'WQ' + '0' * 32}"]},
         f"QueueSids '{'WQ' + '0' * 32},{'WQ' + '0' * 32}' is not a valid SID"),
        ({"queueSids": ["WW" + "0" * 32]}, f"QueueSids '{'WW' + '0' * 32}' is not a valid SID"),
        ({"queueSids": ["WQ" + "0" * 32, "x"]}, "QueueSids 'x' is not a valid SID"),
    ],
)  # fmt: skip
def test_invalid_bulk_request_body_is_rejected(center, content, message):
    status, body = post_bulk(center, content)
    assert (status, body["code"], body["message"]) == (400, 20001, message)


def test_bulk_request_body_must_be_json(center):
    for content_type in "application/x-www-form-urlencoded", "text/plain":
        status, body = post_bulk(center, {"queueSids": [center.spanish]}, content_type)
        message = "The Content-Type of the body must be application/json"
        assert (status, body["message"]) == (400, message)
    assert (
        post_bulk(center, {"queueSids": [center.spanish]}, "Application/JSON; charset=x")[0] == 200
    )


@pytest.mark.parametrize("setting", ["ignored", "refused"])
def test_unknown_keys_in_json_are_rejected_only_if_configured(setting):
    with running(unknown_parameters=setting) as taskrouter:
        center = ContactCenter(taskrouter)
        content = {"queueSids": [center.spanish, center.english], "queueSid": ["x"]}
        status, body = post_bulk(center, content)
        if setting == "ignored":
            assert status == 200
        else:
            message = "Unknown parameter 'QueueSid'; did you mean QueueSids?"
            assert (status, body["message"]) == (400, message)


@pytest.mark.parametrize("path", [*INTERVAL_PATHS, *REAL_TIME_PATHS])
def test_statistics_of_unknown_resource_are_not_found(center, path):
    wrong = {"workflow": "WW" + "0" * 32, "spanish": "WQ" + "0" * 32, "alice": "WK" + "0" * 32}
    if "{" in path:
        status, body = send_request(center.taskrouter, "GET", path.format(**wrong))
        assert (status, body["code"]) == (404, 20404)
        assert body["message"].endswith(f"{path.format(**wrong)} was not found")
    url = center.url.replace(center.taskrouter.workspace_sid, "WS" + "0" * 32)
    auth = center.taskrouter.account_sid, center.taskrouter.auth_token
    response = requests.get(f"{url}{fill_path(center, path)}", auth=auth, timeout=5)
    assert response.status_code == 404


def links(body):
    """Yield the URLs in a response's links, and in the links of listed resources."""
    yield from body.get("links", {}).values()
    for value in body.values():
        for item in value if isinstance(value, list) else []:
            yield from links(item) if isinstance(item, dict) else []


def test_every_link_leads_to_a_resource(active_center):
    auth = active_center.taskrouter.account_sid, active_center.taskrouter.auth_token
    active_center.set_activity(active_center.alice, "Idle")
    visited, to_visit = set(), [active_center.url]
    while to_visit:
        url = to_visit.pop()
        if url in visited:
            continue
        visited.add(url)
        if url.endswith("/TaskQueues/RealTimeStatistics"):
            assert post_bulk(active_center, {"queueSids": [active_center.spanish]})[0] == 200
            continue
        response = requests.get(url, auth=auth, timeout=5)
        assert response.status_code == 200, url
        to_visit += links(response.json())
        to_visit += [item["url"] for value in response.json().values() if isinstance(value, list)
                    for item in value if isinstance(item, dict) and "url" in item]  # fmt: skip
    assert len({url.rsplit("/", 1)[1] for url in visited if "Statistics" in url}) == 3
    assert sum("Statistics" in url for url in visited) == 3 + 3 + 3 + 2 * 3 + 2 + 2
