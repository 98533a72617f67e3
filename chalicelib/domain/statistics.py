"""Statistics on Reservations, Workers and sweeps. Sweeps update the statistics."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from chalicelib.domain.reservations import ACHIEVED, OPEN, HistoryEntry, Status

HOUR_MS = 3_600_000

HOURS = 24
"""Number of hours whose Reservations are counted: the current hour and the 23 before it."""

MAX_PER_HOUR = 20_000
"""Once this many Reservations of an hour have been read, no further index page is read."""

MAX_SAMPLES = 100
"""Maximum number of accepted Reservations to measure: the limit of one BatchGetItem request."""

MAX_SWEEPS = 20
"""Maximum number of sweeps in the statistics."""

MAX_ACTIVITIES = 100
"""Maximum number of Activities in the statistics, so that their DynamoDB item stays small."""

PERCENTILES = (50, 90, 95, 99)


@dataclass(frozen=True)
class IndexEntry:
    """An entry in the ``by_hour`` index. Times are epoch ms."""

    reservation_sid: str
    reserved_at: int
    status: Status


@dataclass(frozen=True)
class HourCount:
    """The numbers of Reservations created in one hour (UTC), by their status when counted.

    Attributes:
        start: epoch ms.
        counted_at: epoch ms.
        by_status: numbers of Reservations by status; statuses without Reservations are omitted.
        is_complete: whether all Reservations were counted. If not, only the newest were.
    """

    start: int
    counted_at: int
    by_status: Mapping[str, int]
    is_complete: bool

    @property
    def is_final(self) -> bool:
        """Whether the counts should no longer change, except because of late reports."""
        has_open = any(self.by_status.get(status) for status in OPEN)
        return not has_open and self.counted_at >= self.start + 2 * HOUR_MS


@dataclass(frozen=True)
class AcceptanceTimes:
    """Percentiles of the times from the creation of Reservations to their acceptance.

    Attributes:
        measured_at: epoch ms.
        count: number of Reservations that were measured.
        percentiles: a time in ms for each of PERCENTILES; empty if *count* is 0.
    """

    measured_at: int
    count: int
    percentiles: tuple[int, ...]

    @classmethod
    def measure(cls, times: Collection[int], *, at: int) -> Self:
        """Compute the percentiles of times in ms with the nearest-rank method."""
        ordered = sorted(times)
        ranks = (-(-percent * len(ordered) // 100) for percent in PERCENTILES)
        return cls(at, len(ordered), tuple(ordered[rank - 1] for rank in ranks if ordered))


@dataclass(frozen=True)
class WaitingTask:
    """The Task (WT…) that has waited longest, and its age."""

    task_sid: str
    age_seconds: int


@dataclass(frozen=True)
class ActivityCount:
    """The number of Workers in an Activity (WA…)."""

    activity_sid: str
    activity_name: str
    workers: int


@dataclass(frozen=True)
class WorkspaceStatistics:
    """Real-time statistics of the Workspace, as returned by TaskRouter."""

    oldest_waiting: WaitingTask | None
    workers_by_activity: tuple[ActivityCount, ...]


@dataclass(frozen=True)
class Statistics:
    """The statistics. Each part may be older than `at`. Times are epoch ms.

    Attributes:
        at: when the last sweep updated the statistics.
        hours: the counts of at most HOURS hours, oldest first. Hours that were never counted are
            missing.
        acceptance: the acceptance times, or None if they were never measured.
        workspace: TaskRouter's statistics, or None if TaskRouter never returned them.
        workspace_at: when TaskRouter returned *workspace*, or None.
        workspace_error: ``Code`` of the error if the last request for *workspace* failed, or None.
        sweeps: the log lines of the last MAX_SWEEPS sweeps, newest first, without reasons.
    """

    at: int
    hours: tuple[HourCount, ...] = ()
    acceptance: AcceptanceTimes | None = None
    workspace: WorkspaceStatistics | None = None
    workspace_at: int | None = None
    workspace_error: str | None = None
    sweeps: tuple[Mapping[str, Any], ...] = ()


def hour_starts(at: int) -> list[int]:
    """Return the starts of the HOURS hours up to *at* (epoch ms), the current hour first."""
    current = at - at % HOUR_MS
    return [current - number * HOUR_MS for number in range(HOURS)]


def hours_to_count(counts: Mapping[int, HourCount], at: int) -> list[int]:
    """Return the starts of the hours to count next, in the order in which to count them.

    - the current hour and the hour before it
    - the other hours that were never counted or whose counts can still change, least recently
      counted first
    - of the hours with final counts, the least recently counted one, because the reconciliation can
      record Reservations hours later

    Args:
        counts: the last count of each hour, by the start of the hour.
        at: epoch ms.
    """
    current, previous, *older = hour_starts(at)
    older.sort(key=lambda start: counts[start].counted_at if start in counts else 0)
    final = [start for start in older if start in counts and counts[start].is_final]
    changing = [start for start in older if start not in final]
    return [current, previous, *changing, *final[:1]]


def newest_accepted(entries: Iterable[IndexEntry], *, since: int) -> list[str]:
    """Return the SIDs of at most MAX_SAMPLES accepted Reservations created at or after *since*.

    Args:
        entries: the entries, newest first.
        since: epoch ms.
    """
    accepted = ACHIEVED[Status.ACCEPTED]
    sids = [
        entry.reservation_sid
        for entry in entries
        if entry.status in accepted and entry.reserved_at >= since
    ]
    return sids[:MAX_SAMPLES]


def time_to_accept(
    reserved_at: int, history: Sequence[HistoryEntry], *, late_sources: Collection[str]
) -> int | None:
    """Return the time in ms from the creation of a Reservation to its acceptance.

    Args:
        reserved_at: epoch ms.
        history: the status changes, in the order in which they were recorded.
        late_sources: the sources of reports that do not contain the time of the acceptance.

    Returns:
        The time, or None if it is unknown. The time is unknown if no acceptance is recorded, or if
        the first report of the acceptance came from one of *late_sources* or reported a status
        after ``accepted``. The time is also unknown if that report was the first report of the
        Reservation, because the time of the creation or of the acceptance is then unknown.
    """
    for entry in history:
        if entry.to in ACHIEVED[Status.ACCEPTED]:
            is_first, is_late = entry is history[0], entry.by in late_sources
            is_known = entry.to is Status.ACCEPTED and not is_first and not is_late
            return max(0, entry.at - reserved_at) if is_known else None
    return None
