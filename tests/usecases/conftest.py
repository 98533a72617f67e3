"""Use cases run on the real store over a real DynamoDB API; only TaskRouter and time are fakes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from chalicelib.adapters.store import DynamoStore
from chalicelib.domain.callbacks import AssignmentCallback
from chalicelib.domain.instructions import Accept, Defer, Instruction
from chalicelib.domain.principals import Principal, Role
from chalicelib.domain.reservations import Reservation, Status
from chalicelib.domain.taskrouter import Seen
from chalicelib.usecases.assign import assign
from chalicelib.usecases.decide import decide
from chalicelib.usecases.decision import Decision
from chalicelib.usecases.observe import observe
from chalicelib.usecases.sweep import Orders, sweep
from chalicelib.usecases.timing import Timing
from tests.support import TIMING, FakeTaskRouter, ManualClock, event_of, make_desk

SUPERVISOR = Principal(Role.SUPERVISOR, identity="ann")


@dataclass
class World:
    """One service in a world of its own."""

    store: DynamoStore
    taskrouter: FakeTaskRouter
    clock: ManualClock
    timing: Timing = TIMING
    orders: Orders = field(default_factory=Orders)

    def callback(self, seen: Seen, **parameters: str) -> AssignmentCallback:
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

    def assign(self, seen: Seen, instruction: Instruction | None = None) -> dict[str, Any]:
        return assign(
            self.callback(seen),
            instruction or Defer(),
            store=self.store,
            timing=self.timing,
            now=self.clock.now,
        )

    def event(self, seen: Seen, status: Status) -> bool:
        event = event_of(seen, status)
        return observe(event, store=self.store, timing=self.timing, now=self.clock.now)

    def decide(self, seen: Seen, target: Status, **given: Any) -> Reservation:
        decision = Decision(
            **{
                "target": target,
                "reservation_sid": seen.reservation_sid,
                "principal": SUPERVISOR,
                **given,
            }
        )
        return decide(decision, make_desk(self.store, self.taskrouter, self.clock, self.timing))

    def accept(self, seen: Seen, **given: Any) -> Reservation:
        return self.decide(seen, Status.ACCEPTED, **given)

    def reject(self, seen: Seen, **given: Any) -> Reservation:
        return self.decide(seen, Status.REJECTED, **given)

    def sweep(self, time_left_ms: int | Callable[[], int] = 60_000) -> dict[str, Any]:
        left = time_left_ms if callable(time_left_ms) else lambda: time_left_ms
        reports: list[dict[str, Any]] = []
        try:
            sweep(
                make_desk(self.store, self.taskrouter, self.clock, self.timing),
                self.orders,
                time_left_ms=left,
                report=reports.append,
            )
        finally:
            assert len(reports) == 1
        return reports[0]

    def record(self, seen: Seen) -> Reservation:
        record = self.store.get(seen.reservation_sid)
        assert record is not None
        return record


@pytest.fixture
def store(dynamodb: Any) -> DynamoStore:
    tables = dynamodb.create_tables()
    return DynamoStore(
        dynamodb.client(),
        reservations_table=tables.reservations,
        state_table=tables.state,
        retention_days=30,
    )


@pytest.fixture
def world(store: DynamoStore) -> World:
    return World(store, FakeTaskRouter(), ManualClock())


ACCEPT = Accept()
