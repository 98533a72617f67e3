"""Invariants of the engine, checked by Hypothesis after each random operation."""

import json

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from taskrouter_simulator.engine import (
    assignments,
    instructions,
    reservations,
    tasks,
    workers,
)
from taskrouter_simulator.engine.core import AssignmentCallback
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import HELD, ReservationStatus, TaskStatus
from taskrouter_simulator.engine.reservations import TRANSITIONS
from tests.simulator.conftest import Simulation

PICK = st.integers(0, 30)
LANGUAGES = st.sampled_from(["es", "en", "fr"])
ACTIVITIES = st.sampled_from(["Offline", "Idle", "Busy", "Reserved"])


class EngineMachine(RuleBasedStateMachine):
    @initialize(multi=st.booleans(), max_reserved=st.integers(1, 3), capacity=st.integers(0, 3))
    def start_engine(self, multi, max_reserved, capacity):
        self.simulation = Simulation(
            default_capacity=capacity, max_assignments=5, closed_task_seconds=7
        )
        self.engine, self.workspace = self.simulation.engine, self.simulation.workspace
        self.workspace.multi_task_enabled = multi
        for queue in self.workspace.queues.values():
            queue.max_reserved_workers = max_reserved
        for workflow in self.workspace.workflows.values():
            workflow.task_reservation_timeout = 5
        self.statuses = {}

    def pick(self, resources, number):
        items = list(resources.values())
        return items[number % len(items)] if items else None

    def attempt(self, action, resource, *arguments):
        """Attempt an operation; check that a failed operation changes no status or Activity."""
        if resource is None:
            return
        before = self.snapshot()
        try:
            action(self.engine, self.workspace, resource, *arguments)
        except BadRequest:
            assert self.snapshot() == before

    def snapshot(self):
        return (
            [(task.sid, task.status) for task in self.workspace.tasks.values()],
            [
                (reservation.sid, reservation.status)
                for reservation in self.workspace.reservations.values()
            ],
            [(worker.sid, worker.activity_sid) for worker in self.workspace.workers.values()],
        )

    @rule(language=LANGUAGES, priority=st.integers(0, 2), timeout=st.sampled_from([3, 1000]))
    def create_task(self, language, priority, timeout):
        tasks.create(
            self.engine,
            self.workspace,
            attributes=json.dumps({"selected_language": language}),
            priority=priority,
            timeout=timeout,
        )

    @rule(name=st.sampled_from(["Alice", "Bob"]), activity=ACTIVITIES)
    def set_activity(self, name, activity):
        sid = self.simulation.activity_sid(activity)
        workers.set_activity(self.engine, self.workspace, self.simulation.worker(name), sid)

    @rule(number=PICK)
    def accept(self, number):
        self.attempt(assignments.accept, self.pick(self.workspace.reservations, number))

    @rule(number=PICK, activity=st.none() | ACTIVITIES)
    def reject(self, number, activity):
        sid = self.simulation.activity_sid(activity) if activity else None
        self.attempt(reservations.reject, self.pick(self.workspace.reservations, number), sid)

    @rule(number=PICK, verb=st.sampled_from(["cancel", "wrap", "complete", "delete"]))
    def wrap_up_or_end_task(self, number, verb):
        self.attempt(getattr(assignments, verb), self.pick(self.workspace.tasks, number))

    @rule(number=PICK, name=st.sampled_from(["accept", "reject", "dequeue", "dance"]))
    def respond_to_callback(self, number, name):
        effects = self.simulation.effects
        callbacks = [effect for effect in effects if isinstance(effect, AssignmentCallback)]
        if callbacks:
            callback = callbacks[number % len(callbacks)]
            instructions.handle_response(
                self.engine, callback.workspace_sid, callback.reservation_sid, {"instruction": name}
            )

    @rule(expression=st.sampled_from(["", "1==1", 'languages HAS "es"']), number=PICK)
    def change_target_workers(self, expression, number):
        self.pick(self.workspace.queues, number).target_workers = expression
        self.engine.schedule_routing(self.workspace)

    @rule()
    def reevaluate(self):
        tasks.reevaluate(self.engine, self.workspace, self.pick(self.workspace.workflows, 0))

    @rule(seconds=st.sampled_from([0, 1, 3, 5, 10, 100_000]))
    def advance(self, seconds):
        self.simulation.clock.advance(seconds)

    @invariant()
    def task_status_matches_reservations(self):
        for task in self.workspace.tasks.values():
            statuses = {reservation.status for reservation in task.reservations}
            pending = ReservationStatus.PENDING in statuses
            assert pending == (task.status is TaskStatus.RESERVED), task
            accepted = ReservationStatus.ACCEPTED in statuses
            assert accepted == (task.status is TaskStatus.ASSIGNED), task
            assert (ReservationStatus.WRAPPING in statuses) == (
                task.status is TaskStatus.WRAPPING
            ), task

    @invariant()
    def task_is_assigned_to_at_most_one_worker(self):
        for task in self.workspace.tasks.values():
            assigned = HELD - {ReservationStatus.PENDING}
            assert sum(reservation.status in assigned for reservation in task.reservations) <= 1

    @invariant()
    def worker_holds_reservations_that_have_not_ended(self):
        for worker in self.workspace.workers.values():
            held = {
                reservation.sid
                for reservation in self.workspace.reservations.values()
                if reservation.worker_sid == worker.sid and reservation.status in HELD
            }
            assert set(worker.held) == held

    @invariant()
    def single_tasking_worker_has_at_most_one_pending_reservation(self):
        if not self.workspace.multi_task_enabled:
            for worker in self.workspace.workers.values():
                statuses = [reservation.status for reservation in worker.held.values()]
                assert statuses.count(ReservationStatus.PENDING) <= 1

    @invariant()
    def multitasking_worker_never_exceeds_capacity(self):
        if self.workspace.multi_task_enabled:
            for worker in self.workspace.workers.values():
                assert len(worker.held) <= self.engine.settings.default_capacity

    @invariant()
    def reservation_statuses_change_according_to_transition_table(self):
        for reservation in self.workspace.reservations.values():
            before = self.statuses.get(reservation.sid, ReservationStatus.PENDING)
            assert reservation.status is before or reservation.status in reachable(before)
            self.statuses[reservation.sid] = reservation.status

    @invariant()
    def no_timer_is_left_for_deleted_resources(self):
        existing = {*self.workspace.tasks, *self.workspace.reservations, self.workspace.sid}
        assert {sid for _, sid in self.engine.timers} <= existing


def reachable(status):
    statuses = set(TRANSITIONS[status])
    for next_status in TRANSITIONS[status]:
        statuses |= reachable(next_status)
    return statuses


EngineMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestEngineInvariants = EngineMachine.TestCase
