"""Values are compared by their meaning, and throttled requests are retried."""

import pytest

from infra.workspace.http import RetryingHttpClient, is_idempotent
from infra.workspace.kinds import IN_ORDER, RESOURCES
from infra.workspace.values import are_equal, declared, references
from taskrouter_simulator.definition import model
from tests.infra.workspace.live import API, define, workspace


@pytest.mark.parametrize(
    ("name", "first", "second", "expected"),
    [
        ("attributes", {"a": 1, "b": [2.0]}, {"b": [2], "a": 1.0}, True),
        ("attributes", {"a": True}, {"a": 1}, False),
        ("attributes", {"a": None}, {}, False),
        ("attributes", {"a": [1, 2]}, {"a": [2, 1]}, False),
        ("target_workers", "a=='b'", '( a == "b" )', True),
        ("target_workers", "", "1==1", False),
        ("capacity", {"voice": 1, "chat": 3}, {"chat": 3}, True),
        ("capacity", {"voice": 1}, {"chat": 3}, False),
        ("capacity", None, {}, True),
        ("configuration", "[]", {"task_routing": {}}, False),
        ("configuration", None, {"task_routing": {}}, False),
        ("friendly_name", "a", "A", False),
        ("event_callback_url", None, "", False),
    ],
)
def test_values_are_compared_by_their_meaning(name, first, second, expected):
    assert are_equal(name, first, second) is expected


def test_managed_fields_match_the_fields_of_the_definitions():
    types = (
        model.WorkspaceDefinition,
        model.ActivityDefinition,
        model.TaskChannelDefinition,
        model.TaskQueueDefinition,
        model.WorkflowDefinition,
        model.WorkerDefinition,
    )
    lists = {kind.section for kind in RESOURCES}
    others = {"was", "unique_name", "activity", "document"} | lists
    known = {field for kind in IN_ORDER for field in kind.fields}
    assert known == {name for item in types for name in item.__dataclass_fields__} - others


def test_kinds_of_resources_are_ordered_by_their_references():
    assert [kind.key for kind in IN_ORDER if kind.key != "task_channel"] == [
        "activity",
        "workspace",
        "worker",
        "task_queue",
        "workflow",
    ]


def test_references_are_pairs_of_resource_kind_and_name():
    routing = {
        "filters": [{"targets": [{"queue": "A", "skip_if": "workers.${activity:Idle} == 0"}]}],
        "default_filter": {"queue": "B"},
    }
    values = {
        "reservation_activity": "Held",
        "assignment_activity": None,
        "capacity": {"chat": 1},
        "target_workers": "sid != '${worker:Eve}'",
        "configuration": {"task_routing": routing},
    }
    assert references(values) == {
        ("activity", "Held"),
        ("activity", "Idle"),
        ("task_channel", "chat"),
        ("task_queue", "A"),
        ("task_queue", "B"),
        ("worker", "Eve"),
    }


def test_initial_activity_is_set_only_for_a_new_worker():
    (worker,) = define(workers=[{"friendly_name": "Eve", "activity": "Idle"}]).workers
    kind = IN_ORDER[[kind.key for kind in IN_ORDER].index("worker")]
    assert declared(kind, worker, API) == {"friendly_name": "Eve"}
    assert declared(kind, worker, API, is_new=True)["activity"] == "Idle"


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "Workspaces", True),
        ("DELETE", "Workspaces/WS1/Workers/WK1", True),
        ("POST", "Workspaces/WS1", True),
        ("POST", "Workspaces/WS1/Workers/WK1/Channels/voice", True),
        ("POST", "Workspaces", False),
        ("post", "Workspaces/WS1/Workers", False),
        ("POST", "Workspaces/WS1/TaskQueues", False),
        ("POST", "Workspaces/WS1/Tasks", False),
    ],
)
def test_every_request_is_idempotent_unless_it_creates_a_resource(method, path, expected):
    assert is_idempotent(method, f"https://taskrouter.twilio.com/v1/{path}") is expected


class FakeClock:
    def __init__(self):
        self.now = 1_000.0
        self.waits = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += seconds


@pytest.mark.parametrize(
    ("retry_after", "waits"),
    [(60, [60, 60]), (61, [61]), (1, [1, 1, 2, 4, 8, 16, 32]), (None, [0.5, 1, 2, 4, 8, 16, 32])],
)
def test_total_wait_of_a_throttled_request_is_limited(tmp_path, retry_after, waits):
    clock = FakeClock()
    client = RetryingHttpClient(clock, clock.sleep)
    with workspace(tmp_path, retry_after=0) as live:
        live.twilio.fault("request", "error", status=429, retry_after=retry_after, times=None)
        auth = (live.twilio.api_key_sid, live.twilio.api_key_secret)
        response = client.request("POST", f"{live.twilio.url}/v1/Workspaces", auth=auth)
    assert (response.status_code, clock.waits) == (429, waits)
