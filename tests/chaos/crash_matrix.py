"""Interrupts each case at every external call, lets the lease expire and sweeps.

A second sweep runs only if the first does not restore consistency; the row then notes this.
"""

import itertools
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import pytest

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.errors import AppError
from chalicelib.domain.reservations import Status
from tests.chaos.crash_cases import Case, Scenario
from tests.chaos.fault_injection import AFTER, BEFORE, ProcessKilled
from tests.support import erase_statistics


@dataclass(frozen=True)
class Row:
    """The result of interrupting a use case at one point.

    Attributes:
        case: Name of the case.
        point: Point at which the use case was interrupted.
        crashed: The statuses in the record and in TaskRouter after the crash; for the creation
            of a Task, the number of Tasks created.
        recovered: The same values after lease expiry and one sweep, or two sweeps if necessary. The
            creation of a Task is also retried.
        problem: Reason why the recovery failed; empty if it succeeded.
    """

    case: str
    point: str
    crashed: str
    recovered: str
    problem: str = ""

    def __str__(self) -> str:
        return f"| {self.case} | {self.point} | {self.crashed} | {self.recovered} |"


def rows(store: DynamoReservationStore, case: Case) -> Iterator[Row]:
    """Interrupt a case at every point, each time with a new Reservation."""
    scenario = _prepare(store, case)
    with suppress(AppError):
        case.act(scenario)
    calls = list(scenario.injector.calls)
    store.erase(scenario.reservation.sid)
    yield _interrupt(store, case, 1, BEFORE, f"before {_call_name(calls, 0)}")
    for _name, numbers in itertools.groupby(
        range(1, len(calls) + 1), lambda number: calls[number - 1]
    ):
        yield from _merge(
            [
                _interrupt(store, case, number, AFTER, f"after {_call_name(calls, number - 1)}")
                for number in numbers
            ]
        )


def _merge(consecutive: list[Row]) -> Iterator[Row]:
    """Merge consecutive rows that differ only in `point`."""
    for _, group in itertools.groupby(consecutive, lambda row: replace(row, point="")):
        first, *others = group
        last = others[-1].point.rpartition(" ")[2] if others else ""
        yield replace(first, point=f"{first.point} to {last}") if others else first


def _prepare(store: DynamoReservationStore, case: Case) -> Scenario:
    # The stored statistics determine how many hours a sweep counts. Without stored statistics, the
    # sweep makes the same calls in each run of a case.
    erase_statistics(store)
    scenario = Scenario(store)
    case.prepare(scenario)
    scenario.injector.reset()
    return scenario


def _call_name(calls: list[str], index: int) -> str:
    """Return a call's name, numbered if several calls have the same name."""
    name = calls[index]
    if calls.count(name) == 1:
        return f"`{name}`"
    return f"`{name}` {calls[: index + 1].count(name)}"


def _interrupt(
    store: DynamoReservationStore, case: Case, number: int, moment: str, point: str
) -> Row:
    scenario = _prepare(store, case)
    scenario.injector.inject(number, moment, scenario.injector.kill)
    with pytest.raises(ProcessKilled):
        case.act(scenario)
    crashed = _state(scenario, case)
    scenario.recover()
    if case.retry and case.act is Scenario.create_task:
        case.retry(scenario)
    suffix = "" if _is_consistent(scenario) else scenario.sweep_when_due()
    recovered = _state(scenario, case) + suffix
    row = Row(case.name, point, crashed, recovered, _find_problem(scenario, case))
    _erase_records(scenario)
    return row


def _state(scenario: Scenario, case: Case) -> str:
    if case.act is Scenario.create_task:
        return f"{scenario.new_tasks()} in TaskRouter"
    recorded, actual = scenario.recorded(), scenario.actual()
    return f"both {actual}" if recorded == actual else f"{recorded}; TaskRouter {actual}"


def _find_problem(scenario: Scenario, case: Case) -> str:
    record = scenario.store.get(scenario.reservation.sid)
    if record is None:
        return "no record"
    if record.claim:
        return "claim not released"
    if not _is_consistent(scenario):
        return "record differs from TaskRouter"
    if case.act is Scenario.create_task and scenario.new_tasks() != "1 Task":
        return "not exactly one Task"
    if case.retry and case.act is not Scenario.create_task:
        with suppress(AppError):
            case.retry(scenario)
    return _find_duplicate_effect(scenario)


def _find_duplicate_effect(scenario: Scenario) -> str:
    taskrouter = scenario.taskrouter
    requests = taskrouter.update_requests
    accepts = [request for request in requests if request.to is Status.ACCEPTED]
    if sum(not request.was_refused for request in accepts) > 1:
        return "accepted twice"
    executions = taskrouter.executed_instructions[scenario.reservation.sid]
    return "called twice" if executions > 1 else ""


def _is_consistent(scenario: Scenario) -> bool:
    return scenario.recorded() == scenario.actual() or (
        scenario.recorded() == "gone" and scenario.taskrouter.has_deleted(scenario.reservation.sid)
    )


def _erase_records(scenario: Scenario) -> None:
    for sid in scenario.taskrouter.statuses:
        scenario.store.erase(sid)
