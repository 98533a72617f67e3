"""The number of requests to DynamoDB and TaskRouter, and of billed DynamoDB units."""

from collections.abc import Iterable
from typing import Any

import pytest

from benchmarks.metering import MeteredClient, Usage, item_size
from chalicelib.adapters.dynamodb.client import to_item, utc_hour
from chalicelib.domain.reservations import OPEN, Status
from chalicelib.usecases.ports import StatisticsStore
from chalicelib.usecases.reconcile import JOB
from chalicelib.usecases.sweep import sweep_due_reservations
from tests.routes.conftest import Api, reserve
from tests.support import NOW, sid

HOUR_MS = 3_600_000


@pytest.fixture
def metered_client(api: Api) -> MeteredClient:
    client = MeteredClient(api.service.dynamodb)
    object.__setattr__(api.service, "dynamodb", client)
    return client


def post_event(api: Api, parameters: dict[str, str], name: str) -> None:
    event = {**parameters, "EventType": f"reservation.{name}"}
    assert api.post_callback(event, path="/event_callback").status_code == 204


def test_life_cycle_of_a_reservation_uses_a_known_number_of_requests_and_units(
    api: Api, metered_client: MeteredClient
) -> None:
    remote = api.taskrouter.add()
    parameters = api.callback_parameters(
        ReservationSid=remote.reservation_sid, TaskSid=remote.task_sid, WorkerSid=remote.worker_sid
    )
    assert api.post_callback(parameters).status_code == 200
    usages = {"callback": metered_client.reset()}
    post_event(api, parameters, "created")
    usages["created"] = metered_client.reset()
    assert api.call("POST", f"/reservations/{remote.reservation_sid}/accept").status_code == 200
    usages["accept"] = metered_client.reset()
    for name in ("accepted", "wrapup", "completed"):
        post_event(api, parameters, name)
        usages[name] = metered_client.reset()

    assert {name: dict(usage.requests) for name, usage in usages.items()} == {
        "callback": {"update_item": 1},
        "created": {"get_item": 1},
        "accept": {"update_item": 2},
        "accepted": {"update_item": 1},
        "wrapup": {"update_item": 2},
        "completed": {"update_item": 1},
    }
    assert {name: (usage.write_units, usage.read_units) for name, usage in usages.items()} == {
        "callback": (4, 0),
        "created": (0, 1),
        "accept": (8, 0),
        "accepted": (1, 0),
        "wrapup": (6, 0),
        "completed": (4, 0),
    }
    assert api.taskrouter.calls == {"update": 1}


def add_records(api: Api, worker_sid: str, statuses: Iterable[Status], *, newest_at: int) -> None:
    """Record Reservations that were created 1 ms apart, the newest first."""
    for age, status in enumerate(statuses):
        reserved_at = newest_at - age
        record: dict[str, Any] = {
            "reservation_sid": sid("WR"),
            "task_sid": sid("WT"),
            "worker_sid": worker_sid,
            "reserved_at": reserved_at,
            "expires_at": reserved_at + 120_000,
            "hour": utc_hour(reserved_at),
            "status": status.value,
        }
        if status in OPEN:
            record |= {"open_as": status.value, "due_at": NOW * 2}
        table = api.environ["RESERVATIONS_TABLE"]
        api.service.dynamodb.put_item(TableName=table, Item=to_item(record))


@pytest.mark.parametrize("query", ["", "&status=pending", "&status=completed", "&worker_sid={}"])
def test_cost_of_a_list_does_not_depend_on_older_records(
    api: Api, metered_client: MeteredClient, query: str
) -> None:
    worker_sid = sid("WK")
    newest = [Status.PENDING, Status.COMPLETED] * 60
    add_records(api, worker_sid, newest, newest_at=NOW)
    usages = list[Usage]()
    for count in (0, 300):
        older = [Status.COMPLETED] * count
        add_records(api, worker_sid, older, newest_at=NOW - 10 * HOUR_MS)
        metered_client.reset()
        response = api.call("GET", f"/reservations?limit=5{query.format(worker_sid)}")
        assert len(response.json_body["reservations"]) == 5
        usages.append(metered_client.reset())

    assert usages[0] == usages[1]
    assert usages[0].requests == {"query": 1, "batch_get_item": 1}


class NoStatistics(StatisticsStore):
    """Reads and saves nothing. `tests.routes.test_statistics` measures the cost of statistics."""

    def get_statistics(self) -> None:
        return None

    def read_hour(self, start: int, cursor: object) -> tuple[list[Any], None]:
        return [], None

    def fetch_histories(self, reservation_sids: object) -> list[Any]:
        return []


def test_cost_of_a_sweep_does_not_depend_on_other_records(
    api: Api, metered_client: MeteredClient
) -> None:
    reconciled = {"id": JOB, "due_at": NOW * 2}
    metered_client.put_item(TableName=api.environ["STATE_TABLE"], Item=to_item(reconciled))
    usages = list[Usage]()
    for count in (0, 150):
        others = [Status.COMPLETED, Status.PENDING] * count
        add_records(api, sid("WK"), others, newest_at=api.clock.now)
        for _ in range(20):
            api.taskrouter.set_status(reserve(api).reservation_sid, Status.TIMEOUT)
        api.clock.now += 131_000
        api.taskrouter.calls.clear()
        metered_client.reset()
        sweep_due_reservations(
            api.service.collaborators,
            api.service.sweep_policy,
            NoStatistics(),
            time_left_ms=lambda: 60_000,
            report=lambda line: None,
        )
        usages.append(metered_client.reset())
        assert api.taskrouter.calls == {"fetch": 20, "statistics": 1}

    assert usages[0] == usages[1]
    # One of the updates fails, because reconciliation is not due.
    assert usages[0].requests == {"query": 3, "update_item": 21, "put_item": 1}


@pytest.mark.parametrize(
    ("item", "size"),
    [
        ({"id": "ab"}, 4),
        ({"é": True, "n": None}, 5),
        ({"n": 0}, 2),
        ({"n": 1234}, 4),
        ({"n": -1200}, 3),
        ({"l": [1, "é"], "m": {"k": "v"}}, 4 + 2 + 4 + 2 + 4 + 1),
    ],
)
def test_item_size_matches_the_size_documented_by_aws(item: dict[str, Any], size: int) -> None:
    assert item_size(to_item(item)) == size
