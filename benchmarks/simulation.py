"""A discrete-event simulation of accept requests, sweeps and TaskRouter's limits.

The simulation does not read the system clock, and its random numbers depend only on the seed. It
uses the service's own deadlines, state machine, budget and back-off. The latencies and limits of
TaskRouter and DynamoDB are inputs.

Reservations that arrive together form one group with one life cycle, so that high rates take no
longer to simulate than low rates. A group is split when TaskRouter throttles some of the group's
accept requests. A record that represents several Reservations is split when a sweep checks one of
them.
"""

import random
from bisect import bisect_left, bisect_right, insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import count
from math import log
from operator import itemgetter

from benchmarks.simulated_taskrouter import UPDATE, TaskRouter, TaskRouterLimits
from benchmarks.timeline import Process, Timeline
from chalicelib.domain.errors import TaskRouterThrottled
from chalicelib.domain.reservations import OPEN, Status, is_allowed
from chalicelib.usecases.deadlines import INSTRUCTION_CHECK_MS, Deadlines
from chalicelib.usecases.run_budget import CONCURRENCY

_MAX_GROUPS_PER_SECOND = 3

_NO_STATUSES = frozenset[Status]()

_STEPS = ((5**0.5 - 1) / 2, 2**0.5 - 1)
"""Irrational steps between consecutive quantiles of `Group.answer_ms` and `Group.handle_ms`. The
quantiles are spread evenly, so that a few groups represent many Reservations better than random
durations would."""

DEFAULT_DEADLINES = Deadlines(reservation_timeout=120, grace=10, claim_lease=30)
"""The deadlines for the default settings."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """The inputs of a simulation.

    `answer_s`, `handle_s` and `wrapup_s` are means of exponential distributions.

    Attributes:
        rate: Reservations per second.
        seconds: Time during which Reservations arrive.
        answer_s: Time until a person accepts a Reservation over REST. None if the answer to the
            callback accepts the Reservation.
        attempts: Maximum number of accept requests per Reservation if TaskRouter throttles them.
        handle_s: Time from the acceptance until the wrap-up.
        wrapup_s: Duration of the wrap-up.
        lost_events: Fraction of event callbacks that are lost.
        taskrouter: TaskRouter's limits.
        deadlines: The service's deadline settings.
        dynamodb_ms: Duration of a DynamoDB request.
        sweep_s: Time limit for a sweep (``lambda_timeout``).
        sweep_interval_s: Interval between sweeps.
        concurrency: Maximum number of concurrent requests of a sweep.
        seed: Seed of the random number generator.
    """

    rate: float
    seconds: int = 20 * 60
    answer_s: float | None = 10
    attempts: int = 3
    handle_s: float = 300
    wrapup_s: float = 30
    lost_events: float = 0.0
    taskrouter: TaskRouterLimits = field(default_factory=TaskRouterLimits)
    deadlines: Deadlines = DEFAULT_DEADLINES
    dynamodb_ms: int = 5
    sweep_s: int = 60
    sweep_interval_s: int = 60
    concurrency: int = CONCURRENCY
    seed: int = 1


@dataclass(eq=False, slots=True)
class Record:
    """Records of Reservations with the same status and the same next check.

    Attributes:
        group: The Reservations in TaskRouter.
        size: Number of records.
        status: The recorded status.
        due_at: Time of the sweep's next check (ms), or None.
        checks: Number of checks since the status last changed.
    """

    group: "Group"
    size: int
    status: Status = Status.PENDING
    due_at: int | None = None
    checks: int = 0


@dataclass(eq=False, slots=True)
class Group:
    """Reservations whose status in TaskRouter changes at the same times.

    Attributes:
        size: Number of Reservations.
        reserved_at: Time at which the Reservations were created (ms).
        expires_at: Time at which TaskRouter times the Reservations out (ms).
        answer_ms: Time until a person accepts the Reservations.
        handle_ms: Time from the acceptance until the wrap-up.
        wrapup_ms: Duration of the wrap-up.
        lost: Statuses whose event callbacks are lost.
        status: The Reservations' status in TaskRouter.
        records: The Reservations' records.
    """

    size: int
    reserved_at: int
    expires_at: int
    answer_ms: float
    handle_ms: float
    wrapup_ms: float
    lost: frozenset[Status]
    status: Status = Status.PENDING
    records: list[Record] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DueRecord:
    """Due records, with the attributes that a sweep reads from the index."""

    record: Record
    size: int
    status: Status
    due_at: int


class ReportedEvents:
    """The Events that report one status, oldest first."""

    def __init__(self) -> None:
        self._times: list[int] = []
        self._groups: list[Group] = []
        self._totals = [0]

    def add(self, at: int, group: Group) -> None:
        """Add the Events of a group."""
        self._times.append(at)
        self._groups.append(group)
        self._totals.append(self._totals[-1] + group.size)

    def count(self, since: int, until: int) -> int:
        """Return the number of Events from *since* to *until* (ms), inclusive."""
        first, end = bisect_left(self._times, since), bisect_right(self._times, until)
        return self._totals[end] - self._totals[first]

    def between(self, since: int, until: int) -> Iterator[tuple[int, Group]]:
        """Yield the times and groups from *since* to *until* (ms), inclusive."""
        first, end = bisect_left(self._times, since), bisect_right(self._times, until)
        yield from zip(self._times[first:end], self._groups[first:end], strict=True)


class World:
    """The Reservations in TaskRouter, and their records.

    Attributes:
        timeline: The simulated time.
        taskrouter: TaskRouter's limits.
        arrived: Number of Reservations that were created.
        recorded: Number of records by status.
        reserved: Number of Reservations that are pending in TaskRouter. Each has its own Task.
        events: The Events by the status that they report.
        given_up: Number of Reservations for which the last accept request was throttled.
    """

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        self.timeline = Timeline()
        self.taskrouter = TaskRouter(scenario.taskrouter, self.timeline)
        self.arrived = self.reserved = self.given_up = 0
        self.recorded: Counter[Status] = Counter()
        self.events = {status: ReportedEvents() for status in Status}
        self._random = random.Random(scenario.seed)  # noqa: S311  reproducible, not secret
        self._quantiles = [self._random.random() for _ in _STEPS]
        self._due: dict[Status, list[tuple[int, int, Record]]] = {status: [] for status in OPEN}
        self._numbers = count()

    def arrivals(self) -> Process:
        """Create groups of Reservations: at random times, or regularly if the rate is high."""
        size = max(1, round(self.scenario.rate / _MAX_GROUPS_PER_SECOND))
        groups_per_ms = self.scenario.rate / size / 1000
        while True:
            # A large group stands for many arrivals, whose total time varies little.
            yield self._random.expovariate(groups_per_ms) if size == 1 else 1 / groups_per_ms
            if self.timeline.now_ms() >= self.scenario.seconds * 1000:
                return
            self.timeline.start(self.run_life_cycle(self._new_group(size)))

    def _new_group(self, size: int) -> Group:
        scenario, now = self.scenario, self.timeline.now_ms()
        pairs = zip(self._quantiles, _STEPS, strict=True)
        self._quantiles = [(quantile + step) % 1 for quantile, step in pairs]
        answer, handle = (-log(1 - quantile) for quantile in self._quantiles)
        return Group(
            size=size,
            reserved_at=now,
            expires_at=scenario.deadlines.expires_at(now, None),
            answer_ms=answer * (scenario.answer_s or 0) * 1000,
            handle_ms=handle * scenario.handle_s * 1000,
            wrapup_ms=self._random.expovariate(1) * scenario.wrapup_s * 1000,
            lost=self._draw_lost_events(),
        )

    def _draw_lost_events(self) -> frozenset[Status]:
        share = self.scenario.lost_events
        return (
            frozenset(s for s in Status if self._random.random() < share) if share else _NO_STATUSES
        )

    def run_life_cycle(self, group: Group) -> Process:
        """Run the life cycle of new Reservations, from the callback to the last event."""
        self.arrived += group.size
        self.reserved += group.size
        self.report(group, Status.PENDING)
        yield self.scenario.dynamodb_ms
        now = self.timeline.now_ms()
        record = Record(group, group.size)
        group.records.append(record)
        self.recorded[record.status] += record.size
        if self.scenario.answer_s is None:
            self._schedule(record, now + INSTRUCTION_CHECK_MS)
            yield from self._run_accepted(group)
        else:
            self._schedule(record, self._next_check(record))
            yield from self._accept(group, self.scenario.attempts, group.answer_ms)

    def _accept(self, group: Group, attempts: int, wait_ms: float) -> Process:
        """Send accept requests, repeat the throttled ones, and run the remaining life cycle.

        Args:
            group: The Reservations.
            attempts: Maximum number of requests per Reservation.
            wait_ms: Time until the first request.
        """
        dynamodb_ms, latency_ms = self.scenario.dynamodb_ms, self.scenario.taskrouter.latency_ms
        pause_ms = dynamodb_ms + (TaskRouterThrottled("").retry_after or 0) * 1000
        for remaining in reversed(range(attempts)):
            yield max(0, min(wait_ms, group.expires_at - self.timeline.now_ms()))
            if self.timeline.now_ms() >= group.expires_at:
                break
            yield dynamodb_ms  # the claim
            started = self.taskrouter.start(UPDATE, group.size)
            if 0 < started < group.size:
                throttled = self._split(group, group.size - started)
                self.timeline.start(self._accept(throttled, remaining, latency_ms + pause_ms))
            yield latency_ms
            self.taskrouter.end(started)
            if started:
                yield from self._run_accepted(group)
                return
            wait_ms = pause_ms
        else:
            self.given_up += group.size
        yield max(0, group.expires_at - self.timeline.now_ms())
        self.reserved -= group.size
        self.report(group, Status.TIMEOUT)

    def _split(self, group: Group, size: int) -> Group:
        """Move pending Reservations of a group, with their records, to a new group."""
        # There is only one record, because no sweep checks a Reservation before its timeout.
        (record,) = group.records
        new_group = replace(group, size=size, records=[])
        group.size -= size
        part = self._split_record(record, size, new_group)
        self._schedule(part, self._next_check(part))
        return new_group

    @staticmethod
    def _split_record(record: Record, size: int, group: Group) -> Record:
        part = replace(record, size=size, group=group)
        record.size -= size
        group.records.append(part)
        return part

    def _run_accepted(self, group: Group) -> Process:
        """Run the life cycle of accepted Reservations."""
        self.reserved -= group.size
        self.report(group, Status.ACCEPTED)
        if self.scenario.answer_s is not None:
            yield self.scenario.dynamodb_ms
            self.record(group, Status.ACCEPTED)
        yield group.handle_ms
        self.report(group, Status.WRAPPING)
        yield group.wrapup_ms
        self.report(group, Status.COMPLETED)

    def report(self, group: Group, status: Status) -> None:
        """Change the status in TaskRouter, and add the Events.

        The status is also recorded unless the event callback is lost.
        """
        group.status = status
        self.events[status].add(self.timeline.now_ms(), group)
        if status not in group.lost:
            self.record(group, status)

    def record(self, group: Group, status: Status) -> int:
        """Record a status that TaskRouter reported; return the number of changed records."""
        outdated = [record for record in group.records if is_allowed(status, record.status)]
        for record in outdated:
            self._change(record, status)
        return sum(record.size for record in outdated)

    def _change(self, record: Record, status: Status) -> None:
        self.recorded[record.status] -= record.size
        self.recorded[status] += record.size
        record.status, record.checks, record.due_at = status, 0, None
        if status in OPEN:
            self._schedule(record, self._next_check(record))

    def _next_check(self, record: Record) -> int:
        now = self.timeline.now_ms()
        due_at = self.scenario.deadlines.next_check(
            record.status,
            now=now,
            reserved_at=record.group.reserved_at,
            expires_at=record.group.expires_at,
            checks=record.checks,
        )
        return now if due_at is None else due_at

    def _schedule(self, record: Record, due_at: int) -> None:
        record.due_at = due_at
        insort(self._due[record.status], (due_at, next(self._numbers), record))

    def due(self, status: Status, *, now: int) -> list[DueRecord]:
        """Return the due records in a status, longest overdue first."""
        entries = self._due[status]
        end = bisect_right(entries, now, key=itemgetter(0))
        entries[:end] = [
            (due_at, number, record)
            for due_at, number, record in entries[:end]
            if record.size and (record.status, record.due_at) == (status, due_at)
        ]
        end = bisect_right(entries, now, key=itemgetter(0))
        return [DueRecord(record, record.size, status, at) for at, _, record in entries[:end]]

    def check(self, due: DueRecord) -> None:
        """Record the status of one Reservation, or schedule its next check.

        Nothing changes if the record changed after *due* was read.
        """
        record = due.record
        if not record.size or (record.status, record.due_at) != (due.status, due.due_at):
            return
        if record.size > 1:
            record = self._split_record(record, 1, record.group)
        if record.group.status is not record.status:
            self._change(record, record.group.status)
        else:
            due_at = self._next_check(record)
            record.checks += 1
            self._schedule(record, due_at)
