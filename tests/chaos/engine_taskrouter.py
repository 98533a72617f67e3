"""Implements the TaskRouter port with the simulator's engine in the same process."""

import json
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.domain.callbacks import EventPage, Form, ReservationEvent
from chalicelib.domain.errors import TaskRouterNotFound, TaskRouterRefused
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.domain.statistics import WorkspaceStatistics
from chalicelib.domain.tasks import CreatedTask, FoundTask, NewTask
from taskrouter_simulator import seed
from taskrouter_simulator.clock import Clock
from taskrouter_simulator.definition.model import WorkerDefinition
from taskrouter_simulator.engine import (
    assignments,
    instructions,
    reservations,
    start,
    tasks,
    workers,
)
from taskrouter_simulator.engine.core import AssignmentCallback, Effect, EventCallback
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Event, Reservation, ReservationStatus, Task
from taskrouter_simulator.settings import Settings

SPANISH = '{"selected_language": "es"}'
_WORKERS = ("Alice", "Bob", "Carol", "Dora")
_STATUSES = {"created": "pending", "wrapup": "wrapping"}


@dataclass(frozen=True)
class UpdateRequest:
    """A request to change the status of a Reservation; `at` is the time of receipt in epoch ms."""

    reservation_sid: str
    to: Status
    at: int
    was_refused: bool


class EngineTaskRouter:
    """Implements `ports.TaskRouter`, `ports.Clock` and the actions of TaskRouter's other clients.

    Args:
        **settings: Settings of the simulator.

    Attributes:
        callbacks: All assignment callbacks and Reservation event callbacks so far. The engine does
            not send callbacks.
        statuses: All statuses by Reservation SID, including those of deleted Reservations.
        update_requests: All requests to change the status of an existing Reservation.
        executed_instructions: Number of instructions executed over REST, by Reservation SID.
    """

    def __init__(self, **settings: Any) -> None:
        self.callbacks: list[AssignmentCallback | EventCallback] = []
        self.statuses: dict[str, list[Status]] = {}
        self.update_requests: list[UpdateRequest] = []
        self.executed_instructions: Counter[str] = Counter()
        self.clock = Clock(lambda: 1_790_000_000.0)
        simulator_settings = Settings(
            **{"event_path": "/event_callback", "reservation_timeout": 120, **settings}
        )
        self._engine = start(simulator_settings, self.clock, self._emit)
        definition = replace(
            seed.default_definition(),
            workers=tuple(
                WorkerDefinition(friendly_name=name, attributes={"languages": ["es"]})
                for name in _WORKERS
            ),
        )
        self._workspace = seed.load(self._engine, definition)
        self._lock = threading.RLock()

    def _emit(self, effect: Effect) -> None:
        if isinstance(effect, AssignmentCallback):
            self.callbacks.append(effect)
        elif isinstance(effect, EventCallback) and effect.event.resource_type == "reservation":
            self.callbacks.append(effect)
            change = effect.event.event_type.removeprefix("reservation.")
            sid = effect.event.parameters["ReservationSid"]
            self.statuses.setdefault(sid, []).append(Status(_STATUSES.get(change, change)))

    # The Clock port

    def now_ms(self) -> int:
        return round(self.clock.now() * 1000)

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.clock.advance(seconds)

    # The TaskRouter port

    def fetch_reservation(
        self, reservation_sid: str, *, task_sid: str | None = None, worker_sid: str | None = None
    ) -> RemoteReservation:
        with self._lock:
            reservation = self._reservation(reservation_sid)
            if task_sid not in (None, reservation.task_sid):
                raise TaskRouterNotFound("the Task has no such Reservation")
            if task_sid is None and worker_sid != reservation.worker_sid:
                raise TaskRouterNotFound("the Worker has no such Reservation")
            return _to_remote(reservation)

    def update_reservation(
        self, reservation_sid: str, *, task_sid: str, to: Status, activity_sid: str | None
    ) -> RemoteReservation:
        with self._lock:
            reservation = self._reservation(reservation_sid)
            try:
                self._change_status(reservation, to, activity_sid)
            except BadRequest as error:
                self._record_update(reservation_sid, to, was_refused=True)
                raise TaskRouterRefused(error.message) from error
            self._record_update(reservation_sid, to, was_refused=False)
            self.clock.run_due()
            return _to_remote(reservation)

    def send_instruction(
        self, reservation_sid: str, *, task_sid: str, instruction: Instruction
    ) -> RemoteReservation:
        with self._lock:
            reservation = self._reservation(reservation_sid)
            try:
                instructions.execute(self._engine, self._workspace, reservation, instruction.answer)
            except instructions.InstructionError as error:
                raise TaskRouterRefused(error.message) from error
            self.executed_instructions[reservation_sid] += 1
            self.clock.run_due()
            return _to_remote(reservation)

    def _record_update(self, reservation_sid: str, to: Status, *, was_refused: bool) -> None:
        request = UpdateRequest(reservation_sid, to, self.now_ms(), was_refused=was_refused)
        self.update_requests.append(request)

    def _change_status(
        self, reservation: Reservation, to: Status, activity_sid: str | None
    ) -> None:
        if to is Status.ACCEPTED:
            assignments.accept(self._engine, self._workspace, reservation)
        elif to is Status.REJECTED:
            reservations.reject(self._engine, self._workspace, reservation, activity_sid)
        else:
            task = self._workspace.tasks[reservation.task_sid]
            assignments.complete(self._engine, self._workspace, task)

    def list_pending_reservations(self, task_sid: str) -> list[RemoteReservation]:
        with self._lock:
            if task_sid not in self._workspace.tasks:
                raise TaskRouterNotFound("no such Task")
            return [
                _to_remote(reservation)
                for reservation in self._workspace.tasks[task_sid].reservations
                if reservation.status is ReservationStatus.PENDING
            ]

    def list_reserved_tasks(self) -> list[str]:
        with self._lock:
            tasks = self._workspace.tasks.values()
            return [task.sid for task in tasks if task.status == "reserved"]

    def list_events(self, event_type: str, *, since: int, until: int) -> EventPage:
        with self._lock:
            events = [
                parsed
                for event in self._workspace.events.values()
                if event.event_type == event_type and since <= event.created * 1000 <= until
                if (parsed := self._parse(event))
            ]
            return EventPage(events)

    def _parse(self, event: Event) -> ReservationEvent | None:
        parsed = ReservationEvent.from_form(Form(list(event.parameters.items())), **self.sids())
        return parsed and replace(parsed, at=round(event.created * 1000))

    def create_task(self, task: NewTask) -> CreatedTask:
        with self._lock:
            return _to_created(self.add_task(task.attributes))

    def find_tasks(self, name: str, value: str) -> list[FoundTask]:
        with self._lock:
            return [
                FoundTask(_to_created(task), int(task.timeout), (task.channel_sid, None))
                for task in self._workspace.tasks.values()
                if json.loads(task.attributes).get(name) == value
            ]

    def list_reservations(self, task_sid: str) -> list[RemoteReservation]:
        with self._lock:
            if task_sid not in self._workspace.tasks:
                raise TaskRouterNotFound("no such Task")
            reservations = self._workspace.tasks[task_sid].reservations
            return [_to_remote(reservation) for reservation in reservations]

    def fetch_statistics(self) -> WorkspaceStatistics:
        return WorkspaceStatistics(None, ())

    def verify_workspace(self) -> None:
        pass

    def _reservation(self, sid: str) -> Reservation:
        if sid not in self._workspace.reservations:
            raise TaskRouterNotFound("no such Reservation")
        return self._workspace.reservations[sid]

    @property
    def workflow_sid(self) -> str:
        (sid,) = self._workspace.workflows
        return sid

    # Actions of other clients

    def add_task(self, attributes: str = SPANISH) -> Task:
        task = tasks.create(self._engine, self._workspace, attributes=attributes)
        self.clock.run_due()
        return task

    def set_free_workers_idle(self) -> None:
        idle = self._workspace.activity("Idle")
        assert idle
        for worker in self._workspace.workers.values():
            if not worker.held:
                workers.set_activity(self._engine, self._workspace, worker, idle.sid)
        self.clock.run_due()

    def set_task(self, task_sid: str, status: str) -> None:
        """Cancel, wrap up or complete a Task as an operator; ignore errors."""
        transitions = {
            "canceled": assignments.cancel,
            "wrapping": assignments.wrap,
            "completed": assignments.complete,
        }
        try:
            transitions[status](self._engine, self._workspace, self._workspace.tasks[task_sid])
        except (BadRequest, KeyError):
            return
        self.clock.run_due()

    def accept(self, reservation: Reservation) -> None:
        """Accept a Reservation as another client; ignore errors."""
        with suppress(BadRequest):
            self._change_status(reservation, Status.ACCEPTED, None)
            self.clock.run_due()

    def delete_task(self, task_sid: str) -> None:
        """Delete a closed Task and its Reservations."""
        assignments.delete(self._engine, self._workspace, self._workspace.tasks[task_sid])

    def has_deleted(self, reservation_sid: str) -> bool:
        exists = reservation_sid in self._workspace.reservations
        return reservation_sid in self.statuses and not exists

    def handle_callback_response(self, reservation_sid: str, answer: dict[str, Any]) -> None:
        """Execute the instruction in the app's answer to a callback."""
        instructions.handle_response(self._engine, self._workspace.sid, reservation_sid, answer)
        self.clock.run_due()

    # The state of TaskRouter

    def sids(self) -> dict[str, str]:
        return {"account_sid": self._engine.account_sid, "workspace_sid": self._workspace.sid}

    def reservations_by_sid(self) -> dict[str, Reservation]:
        return self._workspace.reservations

    def add_reservation(self) -> Reservation:
        """Create a Task and return its pending Reservation."""
        self.set_free_workers_idle()
        task = self.add_task()
        (reservation,) = task.reservations
        return reservation

    def count_tasks(self) -> int:
        return len(self._workspace.tasks)


def _to_remote(reservation: Reservation) -> RemoteReservation:
    return RemoteReservation(
        reservation_sid=reservation.sid,
        task_sid=reservation.task_sid,
        worker_sid=reservation.worker_sid,
        worker_name=reservation.worker_name,
        status=Status(reservation.status.value),
        # Twilio reports this time in whole seconds.
        created_at=int(reservation.created) * 1000,
    )


def _to_created(task: Task) -> CreatedTask:
    return CreatedTask(
        sid=task.sid,
        attributes=task.attributes,
        assignment_status=task.status.value,
        workflow_sid=task.workflow_sid,
        task_queue_sid=task.queue_sid,
        priority=task.priority,
    )
