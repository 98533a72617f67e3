"""The invariants hold in random scenarios, which Hypothesis generates.

The use cases run with the real store, a DynamoDB emulator and the simulator's engine, whose clock
they share. Any external call may fail before or after it takes effect. The process may also crash
at the call, or another request may run at that moment.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chalicelib.adapters.dynamodb.client import from_item, to_reservation
from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.callbacks import AssignmentCallback, Form, ReservationEvent
from chalicelib.domain.errors import (
    AppError,
    StoreUnavailable,
    TaskRouterThrottled,
    TaskRouterUnavailable,
)
from chalicelib.domain.instructions import Accept, Call, Defer
from chalicelib.domain.reservations import OPEN, Reservation, Status
from chalicelib.usecases.assign import assign
from chalicelib.usecases.deadlines import Deadlines
from chalicelib.usecases.decide import Decision, decide
from chalicelib.usecases.observe import observe
from chalicelib.usecases.ports import Collaborators
from chalicelib.usecases.reconcile import JOB
from chalicelib.usecases.sweep import SweepPolicy, sweep_due_reservations
from taskrouter_simulator.engine.core import AssignmentCallback as PostedCallback
from tests.chaos.engine_taskrouter import EngineTaskRouter, UpdateRequest
from tests.chaos.fault_injection import (
    AFTER,
    BEFORE,
    FaultInjectingProxy,
    FaultInjector,
    ProcessKilled,
)
from tests.support import make_reconciliation_due

LEASE = 30
DEADLINES = Deadlines(reservation_timeout=120, grace=10, claim_lease=LEASE)
TARGETS = (Status.ACCEPTED, Status.REJECTED, Status.COMPLETED)
SETTLING_SECONDS = 7 * 3_600
"""Longer than the maximum interval of 6 hours between two checks of a Reservation."""

_ids = itertools.count(1)

faults = st.none() | st.tuples(
    st.integers(1, 3) | st.integers(1, 8),
    st.sampled_from([BEFORE, AFTER]),
    st.sampled_from(
        [
            *("fails", "killed", "killed", "killed", "throttled", "delayed"),
            *("accepted", "rejected", "swept", "callback"),
            *("accepted elsewhere", "accepted elsewhere"),
        ]
    ),
)
CALLS = [
    Call(to="client:a", from_="+15556667777", url="https://desk.example/twiml", accept=accepts)
    for accepts in (False, True)
]
indexes = st.integers(0, 999)


class Scenario(RuleBasedStateMachine):
    store: DynamoReservationStore

    def __init__(self) -> None:
        super().__init__()
        self.injector = FaultInjector()
        self.answers: dict[str, dict[str, Any]] = {}
        self.ended: dict[str, Reservation] = {}
        self.reported_successes: list[tuple[str, Status]] = []
        self.has_begun = False
        self.current_reservation: Any = None

    @initialize(deletes_closed_tasks=st.booleans(), delay=st.sampled_from([0.0, 0.5]))
    def begin(self, *, deletes_closed_tasks: bool, delay: float) -> None:
        retention = {} if deletes_closed_tasks else {"closed_task_seconds": 10**7}
        self.taskrouter = EngineTaskRouter(
            reoffer_delay=1.0, routing_delay=delay, assigned_task_seconds=10**7, **retention
        )
        self.collaborators = Collaborators(
            store=FaultInjectingProxy("store", self.store, self.injector),
            taskrouter=FaultInjectingProxy("taskrouter", self.taskrouter, self.injector),
            clock=self.taskrouter,
            deadlines=DEADLINES,
            new_id=lambda: f"claim-{next(_ids)}",
        )
        self.store._client.delete_item(TableName=self.store._state, Key={"id": {"S": JOB}})
        self._sweep()  # the first sweep after a deployment, before any callback arrives
        self.taskrouter.set_free_workers_idle()
        self.taskrouter.add_task()
        self.has_begun = True

    # Actions outside the app

    @rule(idle=st.booleans())
    def add_task(self, *, idle: bool) -> None:
        if idle:
            self.taskrouter.set_free_workers_idle()
        self.taskrouter.add_task()

    @rule(index=indexes, status=st.sampled_from(["canceled", "wrapping", "completed"]))
    def change_task_status(self, index: int, status: str) -> None:
        if reservation := self._some_reservation(index):
            self.taskrouter.set_task(reservation.task_sid, status)

    @rule(seconds=st.sampled_from([0.2, 1, 5, 31, 115, 125, 400]))
    def let_time_pass(self, seconds: float) -> None:
        self.taskrouter.sleep(seconds)

    @rule()
    def let_reconciliation_become_due(self) -> None:
        make_reconciliation_due(self.store, self.taskrouter.now_ms())

    # Requests to the app

    @precondition(lambda self: self.taskrouter.callbacks)
    @rule(
        index=indexes,
        accept=st.booleans(),
        is_lost=st.booleans(),
        fault=faults,
    )
    def deliver_callback(self, *, index: int, accept: bool, is_lost: bool, fault: Any) -> None:
        """Deliver a callback. Callbacks may arrive in any order, repeatedly or never."""
        callbacks = self.taskrouter.callbacks
        # Choose one of the six newest callbacks.
        callback = callbacks[-1 - index % min(len(callbacks), 6)]
        with self._injected(fault):
            self._deliver(callback, accept=accept, is_lost=is_lost)

    @rule(
        index=indexes,
        status=st.sampled_from([Status.ACCEPTED, *TARGETS]),
        as_worker=st.booleans(),
        names_task=st.booleans(),
        fault=faults,
    )
    def decide_reservation(
        self, *, index: int, status: Status, as_worker: bool, names_task: bool, fault: Any
    ) -> None:
        if reservation := self._some_reservation(index):
            self.current_reservation = reservation
            with self._injected(fault):
                self._decide(reservation, status, as_worker=as_worker, names_task=names_task)

    @rule(index=indexes, accepts=st.booleans(), fault=faults)
    def send_instruction(self, *, index: int, accepts: bool, fault: Any) -> None:
        if reservation := self._some_reservation(index):
            self.current_reservation = reservation
            decision = Decision(
                target=Status.ACCEPTED,
                reservation_sid=reservation.sid,
                principal=Principal(Role.SUPERVISOR, identity="ann"),
                task_sid=reservation.task_sid,
                instruction=CALLS[accepts],
            )
            with self._injected(fault):
                decide(decision, self.collaborators)
                executed = self.taskrouter.executed_instructions[reservation.sid]
                assert executed, "an instruction that was not executed was reported as sent"

    @rule(fault=faults)
    def run_sweep(self, fault: Any) -> None:
        due = self._count_due()
        with self._injected(fault):
            self._sweep()
            if fault is None:
                fetched = self.injector.calls.count("taskrouter.fetch_reservation")
                assert fetched <= due, "the sweep fetched Reservations that were not due"

    # The invariants

    @invariant()
    def answers_are_recorded_and_final_statuses_never_change(self) -> None:
        records = self._records() if self.has_begun else {}
        for sid, record in records.items():
            self._assert_ended_record_is_unchanged(sid, record)
        assert self.ended.keys() <= records.keys()
        for sid, answer in self.answers.items():
            assert records[sid].answer == answer, "the answer to a callback was not recorded"

    def _assert_ended_record_is_unchanged(self, sid: str, record: Reservation) -> None:
        before = self.ended.get(sid)
        if before is not None:
            assert (record.status, record.history) == (before.status, before.history)
        elif record.status not in OPEN | {Status.GONE}:
            self.ended[sid] = record

    @invariant()
    def no_update_is_repeated_within_a_lease(self) -> None:
        """A refused request may be repeated, because it had no effect."""
        latest: dict[tuple[str, Status], UpdateRequest] = {}
        for request in self.taskrouter.update_requests if self.has_begun else ():
            before = latest.get((request.reservation_sid, request.to))
            assert before is None or before.was_refused or request.at - before.at >= LEASE * 1000, (
                before,
                request,
            )
            latest[request.reservation_sid, request.to] = request

    @invariant()
    def no_instruction_is_executed_twice(self) -> None:
        if self.has_begun:
            assert max(self.taskrouter.executed_instructions.values(), default=0) <= 1

    def teardown(self) -> None:
        try:
            if self.has_begun:
                self._assert_recovery()
        finally:
            for sid in self._reservation_sids():
                self.store.erase(sid)

    def _assert_recovery(self) -> None:
        self.injector.reset()
        self.taskrouter.sleep(LEASE)
        self._sweep()
        for sid, record in self._records().items():
            assert record.claim is None, "a claim is left after lease expiry and a sweep"
            assert sid in self.taskrouter.statuses
        make_reconciliation_due(self.store, self.taskrouter.now_ms())
        pending = [
            sid
            for sid, reservation in self.taskrouter.reservations_by_sid().items()
            if reservation.status.value == "pending"
        ]
        self._sweep()
        assert set(pending) <= self._records().keys(), "a pending Reservation was not recorded"
        for seconds in (150, SETTLING_SECONDS, SETTLING_SECONDS):
            self.taskrouter.sleep(seconds)
            make_reconciliation_due(self.store, self.taskrouter.now_ms())
            self._sweep()
        assert self._records().keys() == self.taskrouter.statuses.keys(), (
            "the records and TaskRouter's Reservations differ"
        )
        for sid, record in self._records().items():
            self._assert_record_is_correct(sid, record)
        for sid, status in self.reported_successes:
            assert status in self.taskrouter.statuses[sid], "a reported success never took effect"

    def _assert_record_is_correct(self, sid: str, record: Reservation) -> None:
        actual = self.taskrouter.statuses[sid]
        # TaskRouter has no status "gone", and may report the final status later.
        recorded = [change.to for change in record.history if change.to is not Status.GONE]
        if record.status is Status.GONE:
            assert sid not in self.taskrouter.reservations_by_sid()
            assert actual[-1] in OPEN, "a final status was not recorded"
        else:
            assert record.status is actual[-1]
        remaining = iter(actual)
        assert all(status in remaining for status in recorded), (recorded, actual)

    # Helpers

    def _answer_callback(self, posted: PostedCallback, *, accept: bool, is_lost: bool) -> None:
        form = Form(list(posted.parameters.items()))
        callback = AssignmentCallback.from_form(form, **self.taskrouter.sids())
        answer = assign(
            callback,
            Accept() if accept else Defer(),
            store=self.collaborators.store,
            deadlines=DEADLINES,
            now=self.taskrouter.now_ms(),
        )
        sid = callback.reservation_sid
        assert self.answers.setdefault(sid, answer) == answer, (
            "a repeated callback got a different answer"
        )
        if not is_lost:
            self.taskrouter.handle_callback_response(sid, answer)

    def _observe(self, parameters: dict[str, str]) -> None:
        event = ReservationEvent.from_form(Form(list(parameters.items())), **self.taskrouter.sids())
        assert event is not None
        observe(
            event, store=self.collaborators.store, deadlines=DEADLINES, now=self.taskrouter.now_ms()
        )

    def _decide(
        self, reservation: Any, target: Status, *, as_worker: bool, names_task: bool
    ) -> None:
        principal = (
            Principal(Role.WORKER, worker_sid=reservation.worker_sid)
            if as_worker
            else Principal(Role.SUPERVISOR, identity="ann")
        )
        decision = Decision(
            target=target,
            reservation_sid=reservation.sid,
            principal=principal,
            task_sid=reservation.task_sid if names_task else None,
        )
        decide(decision, self.collaborators)
        self.reported_successes.append((reservation.sid, target))

    def _sweep(self) -> None:
        sweep_due_reservations(
            self.collaborators,
            SweepPolicy(),
            time_left_ms=lambda: 60_000,
            report=lambda _result: None,
        )

    @contextmanager
    def _injected(self, fault: Any) -> Iterator[None]:
        """Inject *fault* and ignore the resulting errors and crashes."""
        if fault is not None:
            number, moment, kind = fault
            # A throttled request (429) was not processed.
            self.injector.inject(
                number, BEFORE if kind == "throttled" else moment, self._actions[kind]
            )
        with suppress(AppError, ProcessKilled):
            yield
        self.injector.reset()
        self.current_reservation = None

    @property
    def _actions(self) -> dict[str, Callable[[str], None]]:
        return {
            "fails": _fail,
            "throttled": _throttle,
            "killed": self.injector.kill,
            "accepted": lambda _name: self._decide_concurrently(Status.ACCEPTED),
            "rejected": lambda _name: self._decide_concurrently(Status.REJECTED),
            "accepted elsewhere": lambda _name: self._accept_elsewhere(),
            "swept": lambda _name: self._ignore_errors(self._sweep),
            "callback": lambda _name: self._ignore_errors(self._deliver_latest_callback),
            "delayed": lambda _name: self.taskrouter.sleep(LEASE + 1),
        }

    def _decide_concurrently(self, target: Status) -> None:
        if reservation := self.current_reservation or self._some_reservation(0):
            self._ignore_errors(
                lambda: self._decide(reservation, target, as_worker=False, names_task=False)
            )

    def _accept_elsewhere(self) -> None:
        """Accept the Reservation in another client of TaskRouter, and deliver the event."""
        if reservation := self.current_reservation:
            self.taskrouter.accept(reservation)
            self._ignore_errors(self._deliver_latest_callback)

    def _deliver_latest_callback(self) -> None:
        for latest in self.taskrouter.callbacks[-1:]:
            self._deliver(latest, accept=False, is_lost=False)

    @staticmethod
    def _ignore_errors(action: Callable[[], None]) -> None:
        with suppress(AppError):
            action()

    def _deliver(self, callback: Any, *, accept: bool, is_lost: bool) -> None:
        if isinstance(callback, PostedCallback):
            self._answer_callback(callback, accept=accept, is_lost=is_lost)
        else:
            self._observe(callback.event.parameters)

    def _count_due(self) -> int:
        now = self.taskrouter.now_ms()
        return sum(len(list(self.store.due_reservations(status, now=now))) for status in OPEN)

    def _reservation_sids(self) -> list[str]:
        return list(self.taskrouter.statuses) if self.has_begun else []

    def _records(self) -> dict[str, Reservation]:
        """Return all records; the table contains only records of this scenario."""
        items = self.store._client.scan(TableName=self.store._reservations, ConsistentRead=True)
        records = [to_reservation(from_item(item)) for item in items["Items"]]
        return {record.reservation_sid: record for record in records}

    def _some_reservation(self, index: int) -> Any:
        """Return a recent Reservation; an even index prefers pending Reservations."""
        candidates = list(self.taskrouter.reservations_by_sid().values())
        if index % 2 == 0:
            candidates = [
                reservation for reservation in candidates if reservation.status.value == "pending"
            ] or candidates
        return candidates[-1 - index % min(len(candidates), 3)] if candidates else None


def _fail(name: str) -> None:
    raise (StoreUnavailable if name.startswith("store") else TaskRouterUnavailable)("injected")


def _throttle(name: str) -> None:
    raise (StoreUnavailable if name.startswith("store") else TaskRouterThrottled)("injected")


def run_scenarios(store: DynamoReservationStore, examples: int) -> None:
    """Run random scenarios; Hypothesis reports the shortest failing scenario."""

    class ScenarioOnStore(Scenario):
        pass

    # Leave time for a callback's second write, even on a slow machine.
    store._callback_seconds = 3_600
    ScenarioOnStore.store = store
    run_state_machine_as_test(
        ScenarioOnStore,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


def test_invariants_hold_in_random_scenarios(store: DynamoReservationStore) -> None:
    run_scenarios(store, 12)
