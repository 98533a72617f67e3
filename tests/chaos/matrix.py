"""Every use case, stopped between any two outside calls, and what is left after a sweep."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Self

import pytest

from chalicelib.adapters.dynamodb.idempotency import DynamoIdempotencyStore
from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.callbacks import AssignmentCallback, Form, ReservationEvent
from chalicelib.domain.errors import AppError
from chalicelib.domain.instructions import Accept, Call, Defer, Instruction
from chalicelib.domain.reservations import Status
from chalicelib.domain.tasks import NewTask
from chalicelib.usecases import sweep as sweeping
from chalicelib.usecases.assign import assign
from chalicelib.usecases.create_task import TaskCollaborators, create_task
from chalicelib.usecases.deadlines import Deadlines
from chalicelib.usecases.decide import Collaborators, Decision, decide
from chalicelib.usecases.observe import observe
from chalicelib.usecases.reconcile import JOB
from taskrouter_simulator.engine.core import AssignmentCallback as Posted
from taskrouter_simulator.engine.core import EventCallback
from tests.chaos.engine import SPANISH, EngineTaskRouter
from tests.chaos.sabotage import AFTER, BEFORE, Killed, Sabotaged, Saboteur
from tests.support import make_reconciliation_due

LEASE = 30
TIMING = Deadlines(reservation_timeout=120, grace=10, claim_lease=LEASE)
CALL = Call(to="client:a", from_="+15556667777", url="https://desk.example/twiml", accept=True)
ANN = Principal(Role.SUPERVISOR, identity="ann")
_ids = itertools.count(1)


class OneAfterTheOther:
    """In place of the sweep's threads, so that its calls come in one order."""

    def __init__(self, _workers: int) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None: ...

    map = staticmethod(map)


class Bench:
    """One service, one TaskRouter with one Reservation, and a saboteur in between."""

    def __init__(self, store: DynamoReservationStore, timing: Deadlines = TIMING) -> None:
        self.saboteur = Saboteur()
        self.taskrouter = EngineTaskRouter(closed_task_seconds=10**7)
        self.timing = timing
        self.store = store
        self._keys = DynamoIdempotencyStore(store._client, state_table=store._state)
        self.orders = sweeping.SweepPolicy()
        self.key = f"matrix-{next(_ids)}"
        self._everything_is_reconciled()
        self.one = self.taskrouter.offer()
        self.tasks_before = self.taskrouter.count_of_tasks()

    # The use cases

    @property
    def desk(self) -> Collaborators:
        return Collaborators(
            store=Sabotaged("store", self.store, self.saboteur),
            taskrouter=Sabotaged("taskrouter", self.taskrouter, self.saboteur),
            clock=self.taskrouter,
            deadlines=self.timing,
            new_id=lambda: f"claim-{next(_ids)}",
        )

    def assign(self, instruction: Instruction | None = None) -> dict[str, Any]:
        (posted,) = (
            one
            for one in self.taskrouter.callbacks
            if isinstance(one, Posted) and one.reservation_sid == self.one.sid
        )
        form = Form(list(posted.parameters.items()))
        callback = AssignmentCallback.from_form(form, **self.taskrouter.ours())
        now = self.taskrouter.now_ms()
        answer = assign(
            callback, instruction or Defer(), store=self.desk.store, deadlines=self.timing, now=now
        )
        self.taskrouter.hear_answer(self.one.sid, answer)
        return answer

    def hear_the_latest_event(self) -> None:
        latest = [
            one.event.parameters
            for one in self.taskrouter.callbacks
            if isinstance(one, EventCallback)
            and one.event.parameters["ReservationSid"] == self.one.sid
        ][-1]
        event = ReservationEvent.from_form(Form(list(latest.items())), **self.taskrouter.ours())
        assert event
        now = self.taskrouter.now_ms()
        observe(event, store=self.desk.store, deadlines=self.timing, now=now)

    def decide(self, target: Status, instruction: Instruction | None = None) -> None:
        decision = Decision(
            target=target,
            reservation_sid=self.one.sid,
            principal=ANN,
            task_sid=self.one.task_sid,
            instruction=instruction,
        )
        decide(decision, self.desk)

    def sweep(self) -> None:
        sweeping.sweep_due_reservations(
            self.desk,
            self.orders,
            time_left_ms=lambda: 60_000,
            report=lambda _result: None,
        )

    def create_task(self) -> None:
        collaborators = TaskCollaborators(
            keys=Sabotaged("keys", self._keys, self.saboteur),
            taskrouter=Sabotaged("taskrouter", self.taskrouter, self.saboteur),
            clock=self.taskrouter,
            lease_seconds=LEASE,
            new_id=lambda: f"owner-{next(_ids)}",
        )
        create_task(
            NewTask(attributes=SPANISH, workflow_sid="WW" + "0" * 32),
            collaborators,
            idempotency_key=self.key,
        )

    # What the world does

    def pass_(self, seconds: float) -> None:
        self.taskrouter.sleep(seconds)

    def _everything_is_reconciled(self) -> None:
        now = self.taskrouter.now_ms()
        self.store._client.delete_item(TableName=self.store._state, Key={"id": {"S": JOB}})
        self.store.start_periodic_job(JOB, now=now, every_ms=0)
        self.store.save_progress(JOB, done_until=now)
        make_reconciliation_due(self.store)

    def heal(self) -> None:
        """A claim lapses, 5 minutes since the last reconciliation are over, the sweep comes by."""
        self.saboteur.revive()
        self.pass_(LEASE)
        make_reconciliation_due(self.store)
        self.sweep()

    def wait_until_due(self) -> str:
        """Nobody has heard of the end, so the sweep comes by when the record is due."""
        now = self.taskrouter.now_ms()
        open_ones = (Status.PENDING, Status.ACCEPTED, Status.WRAPPING)
        due = [
            one for status in open_ones for one in self.store.due_reservations(status, now=2 * now)
        ]
        (at,) = (one.due_at for one in due if one.reservation_sid == self.one.sid)
        self.pass_((at - now) / 1000)
        self.sweep()
        return ", when it is due"

    # What is the case

    def recorded(self) -> str:
        record = self.store.get(self.one.sid)
        if record is None:
            return "nothing"
        return f"{record.status}, claimed" if record.claim else str(record.status)

    def true(self) -> str:
        return str(self.taskrouter.statuses[self.one.sid][-1])

    def new_tasks(self) -> str:
        count = self.taskrouter.count_of_tasks() - self.tasks_before
        return f"{count} Task" if count == 1 else f"{count} Tasks"


def _nothing(_bench: Bench) -> None: ...


def _recorded(bench: Bench) -> None:
    bench.assign()
    bench.saboteur.revive()


def _accepted(bench: Bench) -> None:
    _recorded(bench)
    bench.decide(Status.ACCEPTED)


def _ended_elsewhere(bench: Bench) -> None:
    _recorded(bench)
    bench.taskrouter.set_task(bench.one.task_sid, "canceled")


def _ended_and_due(bench: Bench) -> None:
    _ended_elsewhere(bench)
    bench.pass_(131)


def _decided_before_its_callback(bench: Bench) -> None:
    bench.decide(Status.ACCEPTED)


def _to_be_rejected(bench: Bench) -> None:
    bench.timing = replace(TIMING, reject_after=40)
    _recorded(bench)
    bench.pass_(40)


def _stuck_in_wrapping(bench: Bench) -> None:
    bench.timing = replace(TIMING, max_wrapup=300)
    _accepted(bench)
    bench.taskrouter.set_task(bench.one.task_sid, "wrapping")
    bench.hear_the_latest_event()
    bench.pass_(301)


def _forgotten_by_taskrouter(bench: Bench) -> None:
    _ended_elsewhere(bench)
    bench.taskrouter.forget(bench.one.task_sid)
    bench.pass_(131)


def _unheard_of(bench: Bench) -> None:
    bench.taskrouter.set_task(bench.one.task_sid, "canceled")
    bench.taskrouter.forget(bench.one.task_sid)
    bench.pass_(60)


def _accept(bench: Bench) -> None:
    bench.decide(Status.ACCEPTED)


def _call(bench: Bench) -> None:
    bench.decide(Status.ACCEPTED, CALL)


def _reject(bench: Bench) -> None:
    bench.decide(Status.REJECTED)


def _complete(bench: Bench) -> None:
    bench.decide(Status.COMPLETED)


@dataclass(frozen=True)
class Case:
    """A use case in a situation.

    Attributes:
        name: of both.
        prepare: makes the situation.
        act: runs the use case.
        again: what its caller does who never heard an answer; None where it is nobody's to repeat.
    """

    name: str
    prepare: Callable[[Bench], None]
    act: Callable[[Bench], object]
    again: Callable[[Bench], object] | None = None


CASES = [
    Case("callback, deferred", _nothing, Bench.assign, Bench.assign),
    Case("callback, answered accept", _nothing, lambda one: one.assign(Accept()), Bench.assign),
    Case("callback, decided already", _decided_before_its_callback, Bench.assign, Bench.assign),
    Case("fallback after the callback", _recorded, Bench.assign, Bench.assign),
    Case("accept", _recorded, _accept, _accept),
    Case("accept, no callback ever came", _nothing, _accept, _accept),
    Case("accept, canceled meanwhile", _ended_elsewhere, _accept, _accept),
    Case("accept by a call", _recorded, _call, _call),
    Case("reject", _recorded, _reject, _reject),
    Case("complete", _accepted, _complete, _complete),
    Case("event of what is recorded", _ended_elsewhere, Bench.hear_the_latest_event),
    Case("event heard first", _nothing, Bench.hear_the_latest_event),
    Case("sweep, mirrors", _ended_and_due, Bench.sweep),
    Case("sweep, rejects in time", _to_be_rejected, Bench.sweep),
    Case("sweep, completes what is stuck", _stuck_in_wrapping, Bench.sweep),
    Case("sweep, finds it gone", _forgotten_by_taskrouter, Bench.sweep),
    Case("sweep, reconciles", _nothing, Bench.sweep),
    Case("sweep, catches up", _unheard_of, Bench.sweep),
    Case("create-task with a key", _nothing, Bench.create_task, Bench.create_task),
]


@dataclass(frozen=True)
class Row:
    """What came of one stop.

    Attributes:
        case: its name.
        point: where it was stopped.
        left: what the record said, and what TaskRouter.
        healed: the same, a lease and a sweep later.
        differs: why it is not healed; empty where it is.
    """

    case: str
    point: str
    left: str
    healed: str
    differs: str = ""

    def __str__(self) -> str:
        return f"| {self.case} | {self.point} | {self.left} | {self.healed} |"


def rows(store: DynamoReservationStore, case: Case) -> Iterator[Row]:
    """Stop *case* at every point, each time in a world of its own."""
    bench = _prepared(store, case)
    with suppress(AppError):
        case.act(bench)
    calls = list(bench.saboteur.calls)
    store.erase(bench.one.sid)
    yield _stopped(store, case, 1, BEFORE, f"before {_said(calls, 0)}")
    for _name, numbers in itertools.groupby(range(1, len(calls) + 1), lambda n: calls[n - 1]):
        same = [_stopped(store, case, n, AFTER, f"after {_said(calls, n - 1)}") for n in numbers]
        yield from _joined(same)


def _joined(same: list[Row]) -> Iterator[Row]:
    """Make one row of those that say the same about calls of one name, one after the other."""
    for _, group in itertools.groupby(same, lambda row: replace(row, point="")):
        first, *others = group
        last = others[-1].point.rpartition(" ")[2] if others else ""
        yield replace(first, point=f"{first.point} to {last}") if others else first


def _prepared(store: DynamoReservationStore, case: Case) -> Bench:
    bench = Bench(store)
    case.prepare(bench)
    bench.saboteur.revive()
    return bench


def _said(calls: list[str], index: int) -> str:
    """Name a call; one of several of its name by its number."""
    name = calls[index]
    if calls.count(name) == 1:
        return f"`{name}`"
    return f"`{name}` {calls[: index + 1].count(name)}"


def _stopped(
    store: DynamoReservationStore, case: Case, number: int, moment: str, point: str
) -> Row:
    bench = _prepared(store, case)
    bench.saboteur.at(number, moment, bench.saboteur.kill)
    with pytest.raises(Killed):
        case.act(bench)
    left = _state(bench, case)
    bench.heal()
    if case.again and case.act is Bench.create_task:
        case.again(bench)
    when = "" if _is_true(bench) else bench.wait_until_due()
    healed = _state(bench, case) + when
    row = Row(case.name, point, left, healed, _difference(bench, case))
    _clear(bench)
    return row


def _state(bench: Bench, case: Case) -> str:
    if case.act is Bench.create_task:
        return f"{bench.new_tasks()} at TaskRouter"
    recorded, true = bench.recorded(), bench.true()
    return f"both {true}" if recorded == true else f"{recorded}; TaskRouter {true}"


def _difference(bench: Bench, case: Case) -> str:
    record = bench.store.get(bench.one.sid)
    if record is None:
        return "no record"
    if record.claim:
        return "a claim is left"
    if not _is_true(bench):
        return "the record is not the truth"
    if case.act is Bench.create_task and bench.new_tasks() != "1 Task":
        return "not one Task"
    if case.again and case.act is not Bench.create_task:
        with suppress(AppError):
            case.again(bench)
    return _twice(bench)


def _twice(bench: Bench) -> str:
    if sum(one.to is Status.ACCEPTED and not one.was_refused for one in bench.taskrouter.asked) > 1:
        return "accepted twice"
    return "called twice" if bench.taskrouter.instructed[bench.one.sid] > 1 else ""


def _is_true(bench: Bench) -> bool:
    return bench.recorded() == bench.true() or (
        bench.recorded() == "gone" and bench.taskrouter.has_forgotten(bench.one.sid)
    )


def _clear(bench: Bench) -> None:
    for sid in bench.taskrouter.statuses:
        bench.store.erase(sid)
