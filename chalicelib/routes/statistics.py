"""The route that returns the statistics, which sweeps update if they have enough time."""

from collections.abc import Iterable
from typing import Any

from chalice.app import Blueprint

from chalicelib import runtime
from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.reservations import ACHIEVED, OPEN, Status
from chalicelib.domain.statistics import (
    PERCENTILES,
    AcceptanceTimes,
    HourCount,
    Statistics,
    WorkspaceStatistics,
    hour_starts,
)
from chalicelib.routes.http import Parameters, route
from chalicelib.routes.reservations import iso_time

blueprint = Blueprint(__name__)

_NO_STATISTICS: dict[str, Any] = {
    "updated_at": None,
    "hours": [],
    "acceptance": None,
    "oldest_waiting": None,
    "workers_by_activity": [],
    "taskrouter_updated_at": None,
    "taskrouter_error": None,
    "sweeps": [],
}
"""The response before the first sweep of a stage that is new or was just upgraded."""


@route(blueprint, "/statistics", methods=["GET"], action=Action.SEE_STATISTICS, parameters=())
def statistics(_principal: Principal, _parameters: Parameters) -> dict[str, Any]:
    """Return the statistics; before the first sweep, all values are null or empty."""
    current = runtime.current().statistics.get_statistics()
    if current is None:
        return _NO_STATISTICS
    return {
        "updated_at": iso_time(current.at),
        "hours": _hours_json(current),
        "acceptance": _acceptance_json(current.acceptance),
        **_workspace_json(current.workspace),
        "taskrouter_updated_at": _optional_time(current.workspace_at),
        "taskrouter_error": current.workspace_error,
        "sweeps": [{**line, "at": iso_time(line["at"])} for line in current.sweeps],
    }


def _hours_json(current: Statistics) -> list[dict[str, Any]]:
    """Return the last 24 hours, oldest first."""
    counts = {hour.start: hour for hour in current.hours}
    return [_hour_json(start, counts.get(start)) for start in reversed(hour_starts(current.at))]


def _hour_json(start: int, hour: HourCount | None) -> dict[str, Any]:
    """Return the counts of an hour; they are null if the hour was never counted."""
    numbers = {status: hour.by_status.get(status, 0) if hour else None for status in Status}

    def total(statuses: Iterable[Status]) -> int | None:
        return sum(numbers[status] or 0 for status in statuses) if hour else None

    return {
        "hour": iso_time(start),
        "counted_at": _optional_time(hour.counted_at if hour else None),
        "at_least": bool(hour and not hour.is_complete),
        "total": total(Status),
        "open": total(OPEN),
        "accepted": total(ACHIEVED[Status.ACCEPTED]),
        "rejected": numbers[Status.REJECTED],
        "timed_out": numbers[Status.TIMEOUT],
        "canceled": numbers[Status.CANCELED],
        "rescinded": numbers[Status.RESCINDED],
        "gone": numbers[Status.GONE],
        "by_status": {status.value: number for status, number in numbers.items()},
    }


def _acceptance_json(acceptance: AcceptanceTimes | None) -> dict[str, Any] | None:
    if acceptance is None:
        return None
    times = acceptance.percentiles or (None,) * len(PERCENTILES)
    return {
        "measured_at": iso_time(acceptance.measured_at),
        "count": acceptance.count,
        **{f"p{percent}_ms": time for percent, time in zip(PERCENTILES, times, strict=True)},
    }


def _workspace_json(workspace: WorkspaceStatistics | None) -> dict[str, Any]:
    waiting = workspace and workspace.oldest_waiting
    return {
        "oldest_waiting": waiting
        and {"task_sid": waiting.task_sid, "age_seconds": waiting.age_seconds},
        "workers_by_activity": [
            {
                "activity_sid": each.activity_sid,
                "activity_name": each.activity_name,
                "workers": each.workers,
            }
            for each in (workspace.workers_by_activity if workspace else ())
        ],
    }


def _optional_time(at: int | None) -> str | None:
    return None if at is None else iso_time(at)
