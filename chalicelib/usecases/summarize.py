"""Update the statistics at the end of a sweep.

The step reads at most MAX_PAGES index pages and 100 records, so its cost is limited, regardless
of the number of records.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace

from chalicelib.domain.errors import (
    AppError,
    TaskRouterDenied,
    TaskRouterNotFound,
    TaskRouterRefused,
    TaskRouterThrottled,
)
from chalicelib.domain.statistics import (
    HOUR_MS,
    MAX_PER_HOUR,
    MAX_SWEEPS,
    AcceptanceTimes,
    HourCount,
    IndexEntry,
    Statistics,
    hour_starts,
    hours_to_count,
    newest_accepted,
    time_to_accept,
)
from chalicelib.observability import SweepLine
from chalicelib.usecases.ports import Collaborators, StatisticsStore
from chalicelib.usecases.run_budget import RunBudget

MAX_PAGES = 80
"""Maximum number of index pages that one sweep reads."""

_TOLERATED_ERRORS = (TaskRouterDenied, TaskRouterNotFound, TaskRouterRefused, TaskRouterThrottled)
"""Errors in the request for TaskRouter's statistics that do not make the sweep fail: the API key of
a stage may lack the permission for statistics, and rejected credentials already make the
reconciliation fail (docs/adr/0054)."""


def summarize(
    collaborators: Collaborators,
    statistics: StatisticsStore,
    budget: RunBudget,
    line: SweepLine,
    *,
    late_sources: Collection[str],
) -> None:
    """Update the statistics; a part that can't be read keeps its last values and their time.

    *budget* counts the failures. If too little time is left, the step is skipped.

    Args:
        collaborators: the services to use.
        statistics: the statistics to update.
        budget: the budget of the sweep.
        line: the log line of the sweep.
        late_sources: the sources of status reports that do not contain the time of the change.
    """
    if not budget.has_time_to_summarize():
        return
    with budget.counting_failures():
        now = collaborators.clock.now_ms()
        last = statistics.get_statistics() or Statistics(now)
        updated = replace(_read_workspace(collaborators, budget, last), at=now)
        counts = {hour.start: hour for hour in last.hours}
        counter = _HourCounter(statistics, budget, counts, MAX_PAGES)
        with budget.counting_failures():
            counter.count_hours(now)
            updated = replace(
                updated, acceptance=counter.measure_acceptance(now, last, late_sources)
            )
        hours = (counter.counts.get(start) for start in reversed(hour_starts(now)))
        entry = {name: value for name, value in line.items() if name != "reasons"}
        entry |= budget.result()
        statistics.save_statistics(
            replace(
                updated,
                hours=tuple(hour for hour in hours if hour is not None),
                sweeps=(entry, *last.sweeps)[:MAX_SWEEPS],
            )
        )


def _read_workspace(
    collaborators: Collaborators, budget: RunBudget, last: Statistics
) -> Statistics:
    """Return *last* with current statistics from TaskRouter, if they can be read."""
    if budget.has_ended or not budget.has_time_to_summarize():
        return last
    error: str | None = None
    with budget.counting_failures():
        try:
            workspace = collaborators.taskrouter.fetch_statistics()
            at = collaborators.clock.now_ms()
            return replace(last, workspace=workspace, workspace_at=at, workspace_error=None)
        except AppError as failure:
            error = failure.code
            if not isinstance(failure, _TOLERATED_ERRORS):
                raise
    return replace(last, workspace_error=error)


@dataclass
class _HourCounter:
    """Counts the Reservations that were created in each of several hours.

    Attributes:
        statistics: the records to read.
        budget: the budget of the sweep.
        counts: the counts by the start of the hour.
        pages_left: number of index pages that may still be read.
        recent: the entries of the current and the previous hour, newest first; None until both
            hours are read.
    """

    statistics: StatisticsStore
    budget: RunBudget
    counts: dict[int, HourCount]
    pages_left: int
    recent: list[IndexEntry] | None = None

    def count_hours(self, now: int) -> None:
        """Count the Reservations of one hour after another while time and pages are left.

        The remaining hours, including an hour that was read only in part, keep their previous
        counts.
        """
        newest: list[IndexEntry] = []
        for number, start in enumerate(hours_to_count(self.counts, now)):
            read = self._read_hour(start)
            if read is None:
                return
            entries, is_complete = read
            by_status = Counter(entry.status.value for entry in entries)
            self.counts[start] = HourCount(start, now, dict(by_status), is_complete)
            if number <= 1:
                newest += entries
            if number == 1:
                self.recent = newest

    def _read_hour(self, start: int) -> tuple[list[IndexEntry], bool] | None:
        """Return the newest entries of an hour, and whether they are all of its entries.

        Return None if time or pages run out first.
        """
        entries: list[IndexEntry] = []
        cursor = None
        while len(entries) < MAX_PER_HOUR:
            if self.pages_left == 0 or not self.budget.has_time_to_summarize():
                return None
            self.pages_left -= 1
            page, cursor = self.statistics.read_hour(start, cursor)
            entries += page
            if cursor is None:
                return entries, True
        return entries, False

    def measure_acceptance(
        self, now: int, last: Statistics, late_sources: Collection[str]
    ) -> AcceptanceTimes | None:
        """Measure the acceptance times of the last hour.

        Return those of *last* if the hour's Reservations were not read, or if no time is left.
        """
        if self.recent is None or not self.budget.has_time_to_summarize():
            return last.acceptance
        sids = newest_accepted(self.recent, since=now - HOUR_MS)
        histories = self.statistics.fetch_histories(sids)
        times = [
            time_to_accept(at, history, late_sources=late_sources) for at, history in histories
        ]
        return AcceptanceTimes.measure([each for each in times if each is not None], at=now)
