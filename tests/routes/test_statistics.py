"""Sweeps update the statistics. `GET /statistics` reads them with one request to DynamoDB."""

from contextlib import suppress
from typing import Any

import pytest

from benchmarks.metering import MeteredClient, Usage
from chalicelib.adapters.dynamodb.client import to_item
from chalicelib.domain.errors import SweepFailed, TaskRouterUnavailable
from chalicelib.domain.reservations import Status
from chalicelib.domain.statistics import (
    HOUR_MS,
    MAX_SWEEPS,
    AcceptanceTimes,
    ActivityCount,
    HourCount,
    Statistics,
    WaitingTask,
    WorkspaceStatistics,
)
from chalicelib.usecases.reconcile import JOB
from chalicelib.usecases.sweep import sweep_due_reservations
from tests.routes.conftest import Api, reserve
from tests.routes.test_resource_use import add_records
from tests.support import NOW, sid

HOUR_START = NOW - NOW % HOUR_MS
STATUSES = [status.value for status in Status]


@pytest.fixture
def metered_client(api: Api) -> MeteredClient:
    client = MeteredClient(api.service.dynamodb)
    object.__setattr__(api.service, "dynamodb", client)
    return client


def run_sweep(api: Api) -> None:
    with suppress(SweepFailed):
        sweep_due_reservations(
            api.service.collaborators,
            api.service.sweep_policy,
            api.service.statistics,
            time_left_ms=lambda: 60_000,
            report=lambda _line: None,
        )


def get(api: Api) -> dict[str, Any]:
    response = api.call("GET", "/statistics")
    assert response.status_code == 200, response.body
    body: dict[str, Any] = response.json_body
    return body


def test_stage_without_a_sweep_has_no_statistics(api: Api) -> None:
    assert get(api) == {
        "updated_at": None,
        "hours": [],
        "acceptance": None,
        "oldest_waiting": None,
        "workers_by_activity": [],
        "taskrouter_updated_at": None,
        "taskrouter_error": None,
        "sweeps": [],
    }


def test_all_statistics_are_returned(api: Api) -> None:
    by_status = {status: number for number, status in enumerate(STATUSES, 1)}
    api.service.statistics.save_statistics(
        Statistics(
            at=NOW,
            hours=(HourCount(HOUR_START, NOW - 5, by_status, is_complete=False),),
            acceptance=AcceptanceTimes(NOW - 4, 7, (1, 2, 3, 4)),
            workspace=WorkspaceStatistics(
                WaitingTask("WT1", 113), (ActivityCount("WA1", "Idle", 4),)
            ),
            workspace_at=NOW - 60_000,
            workspace_error="TaskRouterUnavailable",
            sweeps=({"at": NOW, "ok": True, "errors": {}},),
        )
    )
    body = get(api)
    *missing, hour = body.pop("hours")
    assert body == {
        "updated_at": "2026-09-21T14:13:20.000Z",
        "acceptance": {
            "measured_at": "2026-09-21T14:13:19.996Z",
            "count": 7,
            "p50_ms": 1,
            "p90_ms": 2,
            "p95_ms": 3,
            "p99_ms": 4,
        },
        "oldest_waiting": {"task_sid": "WT1", "age_seconds": 113},
        "workers_by_activity": [{"activity_sid": "WA1", "activity_name": "Idle", "workers": 4}],
        "taskrouter_updated_at": "2026-09-21T14:12:20.000Z",
        "taskrouter_error": "TaskRouterUnavailable",
        "sweeps": [{"at": "2026-09-21T14:13:20.000Z", "ok": True, "errors": {}}],
    }
    assert hour == {
        "hour": "2026-09-21T14:00:00.000Z",
        "counted_at": "2026-09-21T14:13:19.995Z",
        "at_least": True,
        "total": sum(by_status.values()),
        "open": by_status["pending"] + by_status["accepted"] + by_status["wrapping"],
        "accepted": by_status["accepted"] + by_status["wrapping"] + by_status["completed"],
        "rejected": by_status["rejected"],
        "timed_out": by_status["timeout"],
        "canceled": by_status["canceled"],
        "rescinded": by_status["rescinded"],
        "gone": by_status["gone"],
        "by_status": by_status,
    }
    assert len(missing) == 23
    assert missing[0] == {
        **dict.fromkeys(hour),
        "hour": "2026-09-20T15:00:00.000Z",
        "at_least": False,
        "by_status": dict.fromkeys(STATUSES),
    }


def test_percentiles_without_accepted_reservations_are_null(api: Api) -> None:
    run_sweep(api)
    acceptance = get(api)["acceptance"]
    assert acceptance.pop("measured_at") == "2026-09-21T14:13:20.000Z"
    assert acceptance == {
        "count": 0,
        "p50_ms": None,
        "p90_ms": None,
        "p95_ms": None,
        "p99_ms": None,
    }


def test_reservations_are_in_the_statistics_after_the_next_sweep(api: Api) -> None:
    first, _second = reserve(api), reserve(api)
    api.clock.now += 8_000
    assert api.call("POST", f"/reservations/{first.reservation_sid}/accept").status_code == 200
    api.taskrouter.fail_before["statistics"] = [TaskRouterUnavailable("503")]
    run_sweep(api)

    body = get(api)
    hour = body["hours"][-1]
    assert (hour["total"], hour["open"], hour["accepted"], hour["at_least"]) == (2, 2, 1, False)
    assert (body["acceptance"]["count"], body["acceptance"]["p50_ms"]) == (1, 8_000)
    assert body["taskrouter_error"] == "TaskRouterUnavailable"
    assert body["sweeps"][0]["errors"] == {"TaskRouterUnavailable": 1}
    assert body["hours"][0]["total"] == 0


def test_statistics_take_no_parameters(api: Api) -> None:
    assert api.call("GET", "/statistics?since=1").status_code == 400


def test_worker_may_not_see_statistics(api: Api) -> None:
    worker = api.token("worker", worker_sid=sid("WK"))
    response = api.call("GET", "/statistics", token=worker)
    assert response.status_code == 403
    assert response.json_body["Message"] == "A token with the `worker` role may not see statistics."


def test_service_may_see_statistics(api: Api) -> None:
    assert api.call("GET", "/statistics", token=api.token("service")).status_code == 200


def test_fields_written_by_a_later_version_are_ignored(api: Api) -> None:
    run_sweep(api)
    key = {"TableName": api.environ["STATE_TABLE"], "Key": {"id": {"S": "statistics"}}}
    item = api.service.dynamodb.get_item(**key)["Item"]
    expected = get(api)
    stored = item["statistics"]["M"]
    for part in (item, stored, stored["hours"]["L"][0]["M"], stored["acceptance"]["M"]):
        part["new"] = {"S": "x"}
    api.service.dynamodb.put_item(TableName=key["TableName"], Item=item)
    assert get(api) == expected


def test_cost_of_statistics_does_not_depend_on_records_older_than_a_day(
    api: Api, metered_client: MeteredClient
) -> None:
    not_due = {"id": JOB, "due_at": NOW * 2}
    metered_client.put_item(TableName=api.environ["STATE_TABLE"], Item=to_item(not_due))
    add_records(api, sid("WK"), [Status.COMPLETED] * 1_000, newest_at=NOW)
    for _ in range(MAX_SWEEPS):
        run_sweep(api)
    usages = list[tuple[Usage, Usage]]()
    for count in (0, 1_000):
        add_records(api, sid("WK"), [Status.COMPLETED] * count, newest_at=NOW - 25 * HOUR_MS)
        metered_client.reset()
        run_sweep(api)
        swept = metered_client.reset()
        assert get(api)["hours"][-1]["total"] == 1_000
        usages.append((swept, metered_client.reset()))

    assert usages[0] == usages[1]
    swept, requested = usages[0]
    # Three queries read due Reservations, and three read the Reservations of recent hours. One
    # update fails, because reconciliation is not due.
    assert swept.requests == {
        "query": 6,
        "get_item": 1,
        "batch_get_item": 1,
        "update_item": 2,
        "put_item": 1,
    }
    assert requested.requests == {"get_item": 1}
