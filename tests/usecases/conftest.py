"""Use cases run on the real store over a real DynamoDB API; only TaskRouter and time are fakes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.callbacks import AssignmentCallback
from chalicelib.domain.instructions import Accept, Defer, Instruction
from chalicelib.domain.reservations import RemoteReservation, Reservation, Status
from chalicelib.usecases.assign import assign
from chalicelib.usecases.deadlines import Deadlines
from chalicelib.usecases.decide import Decision, decide
from chalicelib.usecases.observe import observe
from chalicelib.usecases.sweep import SweepPolicy, sweep_due_reservations
from tests.support import DEADLINES, FakeTaskRouter, ManualClock, event_of, make_collaborators

SUPERVISOR = Principal(Role.SUPERVISOR, identity="ann")


@dataclass
class World:
    """One service in a world of its own."""

    store: DynamoReservationStore
    taskrouter: FakeTaskRouter
    clock: ManualClock
    deadlines: Deadlines = DEADLINES
    policy: SweepPolicy = field(default_factory=SweepPolicy)

    def callback(self, seen: RemoteReservation, **parameters: str) -> AssignmentCallback:
        return AssignmentCallback(
            reservation_sid=seen.reservation_sid,
            task_sid=seen.task_sid,
            worker_sid=seen.worker_sid,
            workflow_sid="WW" + "0" * 32,
            task_queue_sid="WQ" + "0" * 32,
            task_attributes='{"selected_language": "es"}',
            worker_attributes='{"languages": ["en", "es"]}',
            parameters={"TaskAge": "1", **parameters},
        )

    def assign(
        self, seen: RemoteReservation, instruction: Instruction | None = None
    ) -> dict[str, Any]:
        return assign(
            self.callback(seen),
            instruction or Defer(),
            store=self.store,
            deadlines=self.deadlines,
            now=self.clock.now,
        )

    def event(self, seen: RemoteReservation, status: Status) -> bool:
        event = event_of(seen, status)
        return observe(event, store=self.store, deadlines=self.deadlines, now=self.clock.now)

    def decide(self, seen: RemoteReservation, target: Status, **given: Any) -> Reservation:
        decision = Decision(
            **{
                "target": target,
                "reservation_sid": seen.reservation_sid,
                "principal": SUPERVISOR,
                **given,
            }
        )
        return decide(
            decision, make_collaborators(self.store, self.taskrouter, self.clock, self.deadlines)
        )

    def accept(self, seen: RemoteReservation, **given: Any) -> Reservation:
        return self.decide(seen, Status.ACCEPTED, **given)

    def reject(self, seen: RemoteReservation, **given: Any) -> Reservation:
        return self.decide(seen, Status.REJECTED, **given)

    def sweep(self, time_left_ms: int | Callable[[], int] = 60_000) -> dict[str, Any]:
        left = time_left_ms if callable(time_left_ms) else lambda: time_left_ms
        reports: list[dict[str, Any]] = []
        try:
            sweep_due_reservations(
                make_collaborators(self.store, self.taskrouter, self.clock, self.deadlines),
                self.policy,
                time_left_ms=left,
                report=reports.append,
            )
        finally:
            assert len(reports) == 1
        return reports[0]

    def record(self, seen: RemoteReservation) -> Reservation:
        record = self.store.get(seen.reservation_sid)
        assert record is not None
        return record


@pytest.fixture
def store(dynamodb: Any) -> DynamoReservationStore:
    tables = dynamodb.create_tables()
    return DynamoReservationStore(
        dynamodb.client(),
        reservations_table=tables.reservations,
        state_table=tables.state,
        retention_days=30,
    )


@pytest.fixture
def world(store: DynamoReservationStore) -> World:
    return World(store, FakeTaskRouter(), ManualClock())


ACCEPT = Accept()
