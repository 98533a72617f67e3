"""Statistics are read from TaskRouter, from the `by_hour` index and from records."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.adapters.dynamodb.client import to_item
from chalicelib.adapters.dynamodb.statistics import DynamoStatistics
from chalicelib.adapters.secrets import FixedSecrets, Secrets
from chalicelib.adapters.twilio.taskrouter import TwilioTaskRouter
from chalicelib.domain.errors import StoreUnavailable, TaskRouterUnavailable
from chalicelib.domain.reservations import HistoryEntry, Status
from chalicelib.domain.statistics import (
    HOUR_MS,
    MAX_ACTIVITIES,
    ActivityCount,
    IndexEntry,
    WaitingTask,
    WorkspaceStatistics,
)
from taskrouter_simulator.testing import TaskRouter as Simulator
from tests.scripted_server import Peer, running_server

WORKSPACE, TASK, ACTIVITY = "WS" + "c" * 32, "WT" + "1" * 32, "WA" + "2" * 32
START = 497_222 * HOUR_MS
IDLE = {"sid": ACTIVITY, "friendly_name": "Idle", "workers": 4}
RESOURCE = {
    "workspace_sid": WORKSPACE,
    "longest_task_waiting_age": 113,
    "longest_task_waiting_sid": TASK,
    "activity_statistics": [IDLE],
}


class Responder:
    """The adapter, and a server that responds with `body`."""

    def __init__(self, url: str) -> None:
        self.body: object = None
        self.requests: list[bytes] = []
        self.client = TwilioTaskRouter(
            base_url=url,
            account_sid="AC" + "a" * 32,
            secrets=FixedSecrets(Secrets(("token",), {"SK" + "b" * 32: "secret"})),
            workspace_sid=WORKSPACE,
        )

    def serve(self, peer: Peer) -> None:
        while request := peer.read_request():
            self.requests.append(request)
            body = json.dumps(self.body).encode()
            peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)


@pytest.fixture(scope="module")
def responder() -> Iterator[Responder]:
    with running_server() as server:
        responder = Responder(server.url)
        server.script = responder.serve
        yield responder
        responder.client._http_client.session.close()


def fetch(responder: Responder, **properties: object) -> WorkspaceStatistics:
    responder.body = {**RESOURCE, **properties}
    return responder.client.fetch_statistics()


def test_statistics_contain_the_oldest_task_and_workers_by_activity(responder: Responder) -> None:
    assert fetch(responder) == WorkspaceStatistics(
        WaitingTask(TASK, 113), (ActivityCount(ACTIVITY, "Idle", 4),)
    )


@pytest.mark.parametrize("task_sid", [None, ""])
def test_oldest_waiting_task_is_none_if_no_task_is_waiting(
    responder: Responder, task_sid: str | None
) -> None:
    statistics = fetch(responder, longest_task_waiting_sid=task_sid, longest_task_waiting_age=0)
    assert statistics.oldest_waiting is None


def test_workspace_may_have_no_activity_statistics(responder: Responder) -> None:
    assert fetch(responder, activity_statistics=None).workers_by_activity == ()


def test_worker_counts_may_be_strings(responder: Responder) -> None:
    counts = fetch(responder, activity_statistics=[{**IDLE, "workers": "4"}]).workers_by_activity
    assert counts == (ActivityCount(ACTIVITY, "Idle", 4),)


def test_number_of_activities_and_length_of_their_names_are_limited(responder: Responder) -> None:
    activities = [{**IDLE, "friendly_name": "x" * 1_000}] * (MAX_ACTIVITIES + 1)
    counts = fetch(responder, activity_statistics=activities).workers_by_activity
    assert len(counts) == MAX_ACTIVITIES
    assert len(counts[0].activity_name) < 1_000


@pytest.mark.parametrize(
    "properties",
    [
        {"workspace_sid": "WS" + "9" * 32},
        {"longest_task_waiting_sid": "WK" + "1" * 32},
        {"longest_task_waiting_age": -1},
        {"longest_task_waiting_age": None},
        {"activity_statistics": [{}]},
        {"activity_statistics": ["x"]},
        {"activity_statistics": {"Idle": 4}},
        {"activity_statistics": [{**IDLE, "sid": "x"}]},
        {"activity_statistics": [{**IDLE, "workers": None}]},
        {"activity_statistics": [{**IDLE, "workers": -1}]},
    ],
    ids=str,
)
def test_malformed_statistics_raise_an_error(
    responder: Responder, properties: dict[str, object]
) -> None:
    with pytest.raises(TaskRouterUnavailable, match="TaskRouter's response can't be read"):
        fetch(responder, **properties)


def test_statistics_from_the_simulator_are_read(taskrouter: Simulator) -> None:
    api_keys = {taskrouter.api_key_sid: taskrouter.api_key_secret}
    client = TwilioTaskRouter(
        base_url=taskrouter.url,
        account_sid=taskrouter.account_sid,
        secrets=FixedSecrets(Secrets((), api_keys)),
        workspace_sid=taskrouter.workspace_sid,
    )
    assert client.fetch_statistics().oldest_waiting is None
    counts = client.fetch_statistics().workers_by_activity
    names = {count.activity_name: count.activity_sid for count in counts}
    assert names == taskrouter.activities

    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    idle = taskrouter.activities["Idle"]
    workspace.workers.create(friendly_name="Zoe", activity_sid=idle)
    after = client.fetch_statistics().workers_by_activity
    increased = [new for old, new in zip(counts, after, strict=True) if new.workers > old.workers]
    assert [count.activity_sid for count in increased] == [idle]


class ScriptedDynamoDb:
    """Responds to queries with the given pages and to BatchGetItem with `records`."""

    def __init__(self, *pages: dict[str, Any], records: tuple[dict[str, Any], ...] = ()) -> None:
        self.requests: list[dict[str, Any]] = []
        self._pages = iter(pages)
        self._records = records

    def query(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        return next(self._pages)

    def batch_get_item(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request)
        return {"Responses": {"reservations": [to_item(record) for record in self._records]}}


def store_of(client: ScriptedDynamoDb) -> DynamoStatistics:
    return DynamoStatistics(client, reservations_table="reservations", state_table="state")


def test_hour_is_read_in_pages_newest_first() -> None:
    entry = {"reservation_sid": "WR1", "reserved_at": START + 1, "status": "timeout"}
    cursor = {"hour": {"S": "x"}}
    dynamodb = ScriptedDynamoDb(
        {"Items": [to_item(entry)], "LastEvaluatedKey": cursor}, {"Items": []}
    )
    store = store_of(dynamodb)
    entries = [IndexEntry("WR1", START + 1, Status.TIMEOUT)]
    assert store.read_hour(START, None) == (entries, cursor)
    assert store.read_hour(START, cursor) == ([], None)

    first = {
        "TableName": "reservations",
        "IndexName": "by_hour",
        "KeyConditionExpression": "#hour = :hour",
        "ExpressionAttributeNames": {"#hour": "hour"},
        "ExpressionAttributeValues": {":hour": {"S": "2026-09-21T14"}},
        "ScanIndexForward": False,
        "Limit": 2_000,
    }
    assert dynamodb.requests == [first, {**first, "ExclusiveStartKey": cursor}]


def test_histories_are_read_with_one_request() -> None:
    history = [{"at": 5, "to": "accepted", "by": "event"}]
    dynamodb = ScriptedDynamoDb(records=({"reserved_at": START, "history": history},))
    histories = store_of(dynamodb).fetch_histories(["WR1", "WR2"])
    assert histories == [(START, (HistoryEntry(at=5, to=Status.ACCEPTED, by="event"),))]
    assert dynamodb.requests == [
        {
            "RequestItems": {
                "reservations": {
                    "Keys": [{"reservation_sid": {"S": sid}} for sid in ("WR1", "WR2")],
                    "ProjectionExpression": "#reserved_at, #history",
                    "ExpressionAttributeNames": {
                        "#reserved_at": "reserved_at",
                        "#history": "history",
                    },
                }
            }
        }
    ]


def test_empty_list_of_reservations_needs_no_request() -> None:
    dynamodb = ScriptedDynamoDb()
    assert store_of(dynamodb).fetch_histories([]) == []
    assert not dynamodb.requests


@pytest.mark.parametrize("entry", [{}, {"reservation_sid": "WR1", "reserved_at": 1, "status": "x"}])
def test_malformed_entry_raises_an_error(entry: dict[str, Any]) -> None:
    store = store_of(ScriptedDynamoDb({"Items": [to_item(entry)]}))
    with pytest.raises(StoreUnavailable):
        store.read_hour(START, None)


def test_malformed_record_raises_an_error() -> None:
    store = store_of(ScriptedDynamoDb(records=({"reserved_at": START},)))
    with pytest.raises(StoreUnavailable):
        store.fetch_histories(["WR1"])
