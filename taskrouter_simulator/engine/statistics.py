"""Computes statistics from a Workspace's current resources and its history.

The keys of the results are the names of Twilio's properties:
https://www.twilio.com/docs/taskrouter/api/workspace-statistics.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from taskrouter_simulator.engine.history import (
    Fact,
    History,
    Kind,
    Stay,
    whole_seconds,
)
from taskrouter_simulator.engine.model import (
    CLOSED,
    WAITING,
    Activity,
    Task,
    TaskStatus,
    Worker,
    Workspace,
)

MAX_SPLIT = 10_000
"""Maximum number of accepted Reservations, and of canceled Tasks, to compare with thresholds."""
_RESERVATION_KINDS = tuple(kind for kind in Kind if kind.startswith("reservations_"))


@dataclass(frozen=True)
class Interval:
    """The period that cumulative statistics cover, in seconds since the epoch.

    Attributes:
        start: The beginning.
        end: The end. Changes within one second after the end are included, because dates in
            requests have no fractions of a second.
    """

    start: float
    end: float

    def facts(self, history: History) -> list[Fact]:
        """Return the facts in the interval, oldest first."""
        facts = [fact for fact in history.facts_since(self.start) if fact.at < self.end + 1]
        return facts[::-1]

    def overlap(self, stay: Stay) -> float:
        """Return how many seconds of a stay are in the interval; 0 or less means none."""
        return min(stay.ended, self.end) - max(stay.began, self.start)


def count_tasks(tasks: Iterable[Task], now: float, *, count_closed: bool) -> dict[str, Any]:
    """Return the real-time statistics of Tasks.

    Args:
        tasks: The Tasks.
        now: The current time.
        count_closed: Whether to count completed and canceled Tasks.
    """
    statuses = [status for status in TaskStatus if count_closed or status not in CLOSED]
    counted = [task for task in tasks if task.status in statuses]
    by_status = Counter(task.status for task in counted)
    by_priority = Counter(task.priority for task in counted)
    age, sid = longest_waiting(counted, now)
    return {
        "longest_task_waiting_age": age,
        "longest_task_waiting_sid": sid,
        "tasks_by_priority": {str(priority): count for priority, count in by_priority.items()},
        "tasks_by_status": {status.value: by_status[status] for status in statuses},
        "total_tasks": len(counted),
    }


def longest_waiting(
    tasks: Iterable[Task], now: float, *, in_queue: bool = False
) -> tuple[int, str | None]:
    """Return the age and the SID of the Task that has waited longest, or 0 and None.

    Args:
        tasks: The Tasks; those that are neither pending nor reserved are ignored.
        now: The current time.
        in_queue: Whether to measure from the entry into the TaskQueue instead of the creation.
    """
    waiting = [
        ((in_queue and task.queue_entered) or task.created, task.sequence, task.sid)
        for task in tasks
        if task.status in WAITING
    ]
    if not waiting:
        return 0, None
    start, _, sid = min(waiting)
    return whole_seconds(start, now), sid


def count_workers(
    activities: Iterable[Activity], workers: Collection[Worker]
) -> list[dict[str, Any]]:
    """Return the number of Workers in each Activity."""
    counts = Counter(worker.activity_sid for worker in workers)
    return [
        {"friendly_name": item.friendly_name, "sid": item.sid, "workers": counts[item.sid]}
        for item in activities
    ]


def sum_tasks(facts: Collection[Fact], thresholds: Collection[int]) -> dict[str, Any]:
    """Return the cumulative statistics of Tasks and their Reservations.

    Args:
        facts: The facts to count, oldest first.
        thresholds: Waiting times in seconds. Tasks and Reservations with longer waits are counted
            separately.
    """
    counts = Counter(fact.kind for fact in facts)
    accepted = [fact for fact in facts if fact.kind is Kind.RESERVATION_ACCEPTED]
    waits_until_accepted = [fact.age for fact in accepted]
    waits_until_canceled = [fact.age for fact in facts if fact.kind is Kind.TASK_CANCELED]
    durations = _summarize(waits_until_accepted)
    return {
        **{kind.value: counts[kind] for kind in Kind},
        "avg_task_acceptance_time": durations["avg"],
        "wait_duration_until_accepted": durations,
        "wait_duration_in_queue_until_accepted": _summarize(
            [fact.age_in_queue for fact in accepted]
        ),
        "wait_duration_until_canceled": _summarize(waits_until_canceled),
        "split_by_wait_time": _split(thresholds, waits_until_accepted, waits_until_canceled),
    }


def sum_reservations(facts: Iterable[Fact]) -> dict[str, int]:
    """Return the number of Reservations that were created, accepted, and so on."""
    counts = Counter(fact.kind for fact in facts)
    return {kind.value: counts[kind] for kind in _RESERVATION_KINDS}


def sum_activities(
    workspace: Workspace, interval: Interval, now: float, worker_sids: Collection[str] | None
) -> list[dict[str, Any]]:
    """Return how long Workers stayed in each Activity, in seconds.

    Args:
        workspace: The Workspace.
        interval: The interval; only the part of a stay within the interval is counted.
        now: The current time.
        worker_sids: SIDs of the Workers; None for all, including deleted Workers.
    """
    durations: dict[str, list[int]] = {sid: [] for sid in workspace.activities}
    stays = [
        *workspace.history.stays_since(interval.start),
        *(
            Stay(worker.activity_changed, now, worker.sid, worker.activity_sid)
            for worker in workspace.workers.values()
        ),
    ]
    for stay in stays:
        seconds = interval.overlap(stay)
        is_selected = worker_sids is None or stay.worker_sid in worker_sids
        if seconds > 0 and is_selected and stay.activity_sid in durations:
            durations[stay.activity_sid].append(whole_seconds(0, seconds))
    return [
        {"friendly_name": activity.friendly_name, "sid": sid, **_summarize(durations[sid])}
        for sid, activity in workspace.activities.items()
    ]


def _summarize(seconds: list[int]) -> dict[str, int]:
    """Return the average in whole seconds, the minimum, the maximum and the total."""
    total = sum(seconds)
    return {
        "avg": total // len(seconds) if seconds else 0,
        "min": min(seconds, default=0),
        "max": max(seconds, default=0),
        "total": total,
    }


def _split(
    thresholds: Collection[int], accepted: list[int], canceled: list[int]
) -> dict[str, Any] | None:
    """Count the waits that exceed each threshold and those that do not; None without thresholds."""
    waits = {
        "reservations_accepted": sorted(accepted[:MAX_SPLIT]),
        "tasks_canceled": sorted(canceled[:MAX_SPLIT]),
    }
    splits = {}
    for threshold in thresholds:
        below = {name: bisect_right(values, threshold) for name, values in waits.items()}
        above = {name: len(values) - below[name] for name, values in waits.items()}
        splits[str(threshold)] = {"above": above, "below": below}
    return splits or None
