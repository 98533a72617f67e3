"""Cases of the crash matrix: interrupted use cases and the situations in which they run."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

from chalicelib.adapters.dynamodb.idempotency import DynamoIdempotencyStore
from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.callbacks import AssignmentCallback, Form, ReservationEvent
from chalicelib.domain.instructions import Accept, Call, Defer, Instruction
from chalicelib.domain.reservations import Status
from chalicelib.domain.tasks import NewTask
from chalicelib.usecases import sweep as sweeping
from chalicelib.usecases.assign import assign
from chalicelib.usecases.create_task import TaskCollaborators, create_task
from chalicelib.usecases.deadlines import Deadlines
from chalicelib.usecases.decide import Decision, decide
from chalicelib.usecases.observe import observe
from chalicelib.usecases.ports import Collaborators
from chalicelib.usecases.reconcile import JOB
from taskrouter_simulator.engine.core import AssignmentCallback as EngineAssignmentCallback
from taskrouter_simulator.engine.core import EventCallback
from tests.chaos.engine_taskrouter import SPANISH, EngineTaskRouter
from tests.chaos.fault_injection import FaultInjectingProxy, FaultInjector
from tests.support import make_reconciliation_due, make_statistics

LEASE = 30
DEADLINES = Deadlines(reservation_timeout=120, grace=10, claim_lease=LEASE)
CALL = Call(to="client:a", from_="+15556667777", url="https://desk.example/twiml", accept=True)
ANN = Principal(Role.SUPERVISOR, identity="ann")
_ids = itertools.count(1)


class SequentialExecutor:
    """Replaces the sweep's thread pool so that calls run in a fixed order."""

    def __init__(self, _workers: int) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None: ...

    map = staticmethod(map)


class Scenario:
    """The use cases, their store and a TaskRouter with one Reservation.

    A fault injector intercepts the calls that the use cases make.
    """

    def __init__(self, store: DynamoReservationStore, deadlines: Deadlines = DEADLINES) -> None:
        self.injector = FaultInjector()
        self.taskrouter = EngineTaskRouter(closed_task_seconds=10**7)
        self.deadlines = deadlines
        self.store = store
        self._keys = DynamoIdempotencyStore(store._client, state_table=store._state)
        self.policy = sweeping.SweepPolicy()
        self.key = f"matrix-{next(_ids)}"
        self._reset_reconciliation()
        self.reservation = self.taskrouter.add_reservation()
        self.tasks_before = self.taskrouter.count_tasks()

    # The use cases

    @property
    def collaborators(self) -> Collaborators:
        return Collaborators(
            store=FaultInjectingProxy("store", self.store, self.injector),
            taskrouter=FaultInjectingProxy("taskrouter", self.taskrouter, self.injector),
            clock=self.taskrouter,
            deadlines=self.deadlines,
            new_id=lambda: f"claim-{next(_ids)}",
        )

    def assign(self, instruction: Instruction | None = None) -> dict[str, Any]:
        (posted,) = (
            callback
            for callback in self.taskrouter.callbacks
            if isinstance(callback, EngineAssignmentCallback)
            and callback.reservation_sid == self.reservation.sid
        )
        form = Form(list(posted.parameters.items()))
        callback = AssignmentCallback.from_form(form, **self.taskrouter.sids())
        now = self.taskrouter.now_ms()
        answer = assign(
            callback,
            instruction or Defer(),
            store=self.collaborators.store,
            deadlines=self.deadlines,
            now=now,
        )
        self.taskrouter.handle_callback_response(self.reservation.sid, answer)
        return answer

    def observe_latest_event(self) -> None:
        latest = [
            callback.event.parameters
            for callback in self.taskrouter.callbacks
            if isinstance(callback, EventCallback)
            and callback.event.parameters["ReservationSid"] == self.reservation.sid
        ][-1]
        event = ReservationEvent.from_form(Form(list(latest.items())), **self.taskrouter.sids())
        assert event
        now = self.taskrouter.now_ms()
        observe(event, store=self.collaborators.store, deadlines=self.deadlines, now=now)

    def decide(self, target: Status, instruction: Instruction | None = None) -> None:
        decision = Decision(
            target=target,
            reservation_sid=self.reservation.sid,
            principal=ANN,
            task_sid=self.reservation.task_sid,
            instruction=instruction,
        )
        decide(decision, self.collaborators)

    def sweep(self) -> None:
        sweeping.sweep_due_reservations(
            self.collaborators,
            self.policy,
            FaultInjectingProxy("statistics", make_statistics(self.store), self.injector),
            time_left_ms=lambda: 60_000,
            report=lambda _result: None,
        )

    def create_task(self) -> None:
        collaborators = TaskCollaborators(
            keys=FaultInjectingProxy("keys", self._keys, self.injector),
            taskrouter=FaultInjectingProxy("taskrouter", self.taskrouter, self.injector),
            clock=self.taskrouter,
            lease_seconds=LEASE,
            new_id=lambda: f"owner-{next(_ids)}",
        )
        create_task(
            NewTask(attributes=SPANISH, workflow_sid=self.taskrouter.workflow_sid),
            collaborators,
            caller=ANN.name,
            idempotency_key=self.key,
        )

    # Time

    def advance(self, seconds: float) -> None:
        self.taskrouter.sleep(seconds)

    def _reset_reconciliation(self) -> None:
        """Make reconciliation due, as if the last reconciliation had read all Events up to now."""
        now = self.taskrouter.now_ms()
        self.store._client.delete_item(TableName=self.store._state, Key={"id": {"S": JOB}})
        self.store.start_periodic_job(JOB, now=now, retry_at=now, run_id="earlier")
        self.store.save_progress(JOB, {"": now})
        make_reconciliation_due(self.store, self.taskrouter.now_ms())

    def recover(self) -> None:
        """Advance the clock by the length of a lease, make reconciliation due, and sweep."""
        self.injector.reset()
        self.advance(LEASE)
        make_reconciliation_due(self.store, self.taskrouter.now_ms())
        self.sweep()

    def sweep_when_due(self) -> str:
        """Advance the clock until the record is due, and sweep; return a note for the table."""
        now = self.taskrouter.now_ms()
        statuses = (Status.PENDING, Status.ACCEPTED, Status.WRAPPING)
        due = [
            record
            for status in statuses
            for record in self.store.due_reservations(status, now=2 * now)
        ]
        (due_at,) = (
            record.due_at for record in due if record.reservation_sid == self.reservation.sid
        )
        self.advance((due_at - now) / 1000)
        self.sweep()
        return ", when due"

    # State

    def recorded(self) -> str:
        record = self.store.get(self.reservation.sid)
        if record is None:
            return "no record"
        return f"{record.status}, claimed" if record.claim else str(record.status)

    def actual(self) -> str:
        return str(self.taskrouter.statuses[self.reservation.sid][-1])

    def new_tasks(self) -> str:
        count = self.taskrouter.count_tasks() - self.tasks_before
        return f"{count} Task" if count == 1 else f"{count} Tasks"


def _unrecorded(_scenario: Scenario) -> None: ...


def _recorded(scenario: Scenario) -> None:
    scenario.assign()
    scenario.injector.reset()


def _accepted(scenario: Scenario) -> None:
    _recorded(scenario)
    scenario.decide(Status.ACCEPTED)


def _canceled(scenario: Scenario) -> None:
    _recorded(scenario)
    scenario.taskrouter.set_task(scenario.reservation.task_sid, "canceled")


def _canceled_and_due(scenario: Scenario) -> None:
    _canceled(scenario)
    scenario.advance(131)


def _decided_before_the_callback(scenario: Scenario) -> None:
    scenario.decide(Status.ACCEPTED)


def _due_for_rejection(scenario: Scenario) -> None:
    scenario.deadlines = replace(DEADLINES, reject_after=40)
    _recorded(scenario)
    scenario.advance(40)


def _stuck_in_wrapping(scenario: Scenario) -> None:
    scenario.deadlines = replace(DEADLINES, max_wrapup=300)
    _accepted(scenario)
    scenario.taskrouter.set_task(scenario.reservation.task_sid, "wrapping")
    scenario.observe_latest_event()
    scenario.advance(301)


def _deleted_at_taskrouter(scenario: Scenario) -> None:
    _canceled(scenario)
    scenario.taskrouter.delete_task(scenario.reservation.task_sid)
    scenario.advance(131)


def _deleted_after_reconciliation(scenario: Scenario) -> None:
    _recorded(scenario)
    scenario.sweep()
    scenario.taskrouter.set_task(scenario.reservation.task_sid, "canceled")
    scenario.taskrouter.delete_task(scenario.reservation.task_sid)
    scenario.advance(131)


def _deleted_without_record(scenario: Scenario) -> None:
    scenario.taskrouter.set_task(scenario.reservation.task_sid, "canceled")
    scenario.taskrouter.delete_task(scenario.reservation.task_sid)
    scenario.advance(60)


def _accept(scenario: Scenario) -> None:
    scenario.decide(Status.ACCEPTED)


def _accept_with_call(scenario: Scenario) -> None:
    scenario.decide(Status.ACCEPTED, CALL)


def _reject(scenario: Scenario) -> None:
    scenario.decide(Status.REJECTED)


def _complete(scenario: Scenario) -> None:
    scenario.decide(Status.COMPLETED)


@dataclass(frozen=True)
class Case:
    """A use case that is interrupted, and the situation in which it runs.

    Attributes:
        name: Name of the use case and the situation.
        prepare: Creates the situation.
        act: Runs the use case.
        retry: Repeats the request, as a client does after receiving no response; None if no
            client repeats the request.
    """

    name: str
    prepare: Callable[[Scenario], None]
    act: Callable[[Scenario], object]
    retry: Callable[[Scenario], object] | None = None


CASES = [
    Case("callback, deferred", _unrecorded, Scenario.assign, Scenario.assign),
    Case(
        "callback, answered with accept",
        _unrecorded,
        lambda scenario: scenario.assign(Accept()),
        Scenario.assign,
    ),
    Case(
        "callback, already decided", _decided_before_the_callback, Scenario.assign, Scenario.assign
    ),
    Case("fallback after the callback", _recorded, Scenario.assign, Scenario.assign),
    Case("accept", _recorded, _accept, _accept),
    Case("accept without a callback", _unrecorded, _accept, _accept),
    Case("accept, canceled in the meantime", _canceled, _accept, _accept),
    Case("accept with a call instruction", _recorded, _accept_with_call, _accept_with_call),
    Case("reject", _recorded, _reject, _reject),
    Case("complete", _accepted, _complete, _complete),
    Case("event about a recorded Reservation", _canceled, Scenario.observe_latest_event),
    Case("event before the callback", _unrecorded, Scenario.observe_latest_event),
    Case("sweep, records a cancellation", _canceled_and_due, Scenario.sweep),
    Case("sweep, rejects before the timeout", _due_for_rejection, Scenario.sweep),
    Case("sweep, completes a stuck Reservation", _stuck_in_wrapping, Scenario.sweep),
    Case("sweep, Reservation deleted", _deleted_at_taskrouter, Scenario.sweep),
    Case("sweep, deleted after reconciliation", _deleted_after_reconciliation, Scenario.sweep),
    Case("sweep, finds a missed Reservation", _unrecorded, Scenario.sweep),
    Case("sweep, reads missed events", _deleted_without_record, Scenario.sweep),
    Case("create-task with a key", _unrecorded, Scenario.create_task, Scenario.create_task),
]
