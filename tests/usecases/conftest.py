"""Fixtures for tests of the use cases, with a local DynamoDB and a fake TaskRouter."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
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
from chalicelib.usecases.ports import Collaborators
from chalicelib.usecases.sweep import SweepPolicy, sweep_due_reservations
from tests.support import (
    DEADLINES,
    FakeTaskRouter,
    ManualClock,
    make_collaborators,
    make_event,
    make_statistics,
)

SUPERVISOR = Principal(Role.SUPERVISOR, identity="ann")


@dataclass
class Service:
    """The use cases with their own tables, a fake TaskRouter and a manual clock."""

    store: DynamoReservationStore
    taskrouter: FakeTaskRouter
    clock: ManualClock
    deadlines: Deadlines = DEADLINES
    policy: SweepPolicy = field(default_factory=SweepPolicy)
    answer_may_ring: bool = False

    @property
    def collaborators(self) -> Collaborators:
        collaborators = make_collaborators(self.store, self.taskrouter, self.clock, self.deadlines)
        return replace(collaborators, answer_may_ring=self.answer_may_ring)

    def callback(self, remote: RemoteReservation, **parameters: str) -> AssignmentCallback:
        return AssignmentCallback(
            reservation_sid=remote.reservation_sid,
            task_sid=remote.task_sid,
            worker_sid=remote.worker_sid,
            workflow_sid="WW" + "0" * 32,
            task_queue_sid="WQ" + "0" * 32,
            task_attributes='{"selected_language": "es"}',
            worker_attributes='{"languages": ["en", "es"]}',
            parameters={"TaskAge": "1", **parameters},
        )

    def assign(
        self, remote: RemoteReservation, instruction: Instruction | None = None
    ) -> dict[str, Any]:
        return assign(
            self.callback(remote),
            instruction or Defer(),
            store=self.store,
            deadlines=self.deadlines,
            now=self.clock.now,
        )

    def post_event(self, remote: RemoteReservation, status: Status) -> bool:
        event = make_event(remote, status)
        return observe(event, store=self.store, deadlines=self.deadlines, now=self.clock.now)

    def decide(self, remote: RemoteReservation, target: Status, **overrides: Any) -> Reservation:
        decision = Decision(
            **{
                "target": target,
                "reservation_sid": remote.reservation_sid,
                "principal": SUPERVISOR,
                **overrides,
            }
        )
        return decide(decision, self.collaborators)

    def accept(self, remote: RemoteReservation, **overrides: Any) -> Reservation:
        return self.decide(remote, Status.ACCEPTED, **overrides)

    def reject(self, remote: RemoteReservation, **overrides: Any) -> Reservation:
        return self.decide(remote, Status.REJECTED, **overrides)

    def sweep(self, time_left_ms: int | Callable[[], int] = 60_000) -> dict[str, Any]:
        time_left = time_left_ms if callable(time_left_ms) else lambda: time_left_ms
        reports: list[dict[str, Any]] = []
        try:
            sweep_due_reservations(
                self.collaborators,
                self.policy,
                make_statistics(self.store),
                time_left_ms=time_left,
                report=reports.append,
            )
        finally:
            assert len(reports) == 1
        return reports[0]

    def record(self, remote: RemoteReservation) -> Reservation:
        record = self.store.get(remote.reservation_sid)
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
        callback_seconds=60,  # on a busy machine, a callback may take longer than 2 s
    )


@pytest.fixture
def service(store: DynamoReservationStore) -> Service:
    return Service(store, FakeTaskRouter(), ManualClock())


ACCEPT = Accept()


@pytest.fixture
def pending(service: Service) -> RemoteReservation:
    """A pending Reservation whose callback was answered with ``{}``."""
    remote = service.taskrouter.add()
    service.assign(remote)
    return remote
