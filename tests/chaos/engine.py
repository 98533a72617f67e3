"""The simulator's engine in this process, behind the verbs of the port TaskRouter."""

import json
import threading
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from chalicelib.domain.callbacks import EventPage, Form, ReservationEvent
from chalicelib.domain.errors import TaskRouterNotFound, TaskRouterRefused
from chalicelib.domain.instructions import Instruction
from chalicelib.domain.reservations import RemoteReservation, Status
from chalicelib.domain.tasks import CreatedTask, NewTask
from taskrouter_simulator import seed
from taskrouter_simulator.clock import Clock
from taskrouter_simulator.engine import assignments, instructions, offers, start, tasks, workers
from taskrouter_simulator.engine.core import AssignmentCallback, Effect, EventCallback
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Event, Reservation, ReservationStatus, Task
from taskrouter_simulator.settings import Settings

SPANISH = '{"selected_language": "es"}'
_WORKERS = ("Alice", "Bob", "Carol", "Dora")
_NEWS = {"created": "pending", "wrapup": "wrapping"}


@dataclass(frozen=True)
class Asked:
    """An update that somebody asked for; *at* is epoch ms."""

    reservation_sid: str
    to: Status
    at: int
    was_refused: bool


class EngineTaskRouter:
    """`chalicelib.usecases.ports.TaskRouter`, and the people who use TaskRouter without us.

    Args:
        **settings: the simulator's.

    Attributes:
        callbacks: every assignment callback and event callback so far; nobody has posted them.
        statuses: by Reservation SID, what TaskRouter has made of it, also of those long forgotten.
        asked: each update that reached it.
        instructed: how often an instruction was carried out, by Reservation SID.
    """

    def __init__(self, **settings: Any) -> None:
        self.callbacks: list[AssignmentCallback | EventCallback] = []
        self.statuses: dict[str, list[Status]] = {}
        self.asked: list[Asked] = []
        self.instructed: Counter[str] = Counter()
        self.clock = Clock(lambda: 1_790_000_000.0)
        chosen = Settings(
            **{"event_path": "/event_callback", "reservation_timeout": 120, **settings}
        )
        self._engine = start(chosen, self.clock, self._emit)
        workers = [
            {"friendly_name": name, "attributes": {"languages": ["es"]}} for name in _WORKERS
        ]
        self._workspace = seed.load(self._engine, {**seed.quickstart(), "workers": workers})
        self._lock = threading.RLock()

    def _emit(self, effect: Effect) -> None:
        if isinstance(effect, AssignmentCallback):
            self.callbacks.append(effect)
        elif isinstance(effect, EventCallback) and effect.event.resource_type == "reservation":
            self.callbacks.append(effect)
            what = effect.event.event_type.removeprefix("reservation.")
            sid = effect.event.parameters["ReservationSid"]
            self.statuses.setdefault(sid, []).append(Status(_NEWS.get(what, what)))

    # The clock of the use cases

    def now_ms(self) -> int:
        return round(self.clock.now() * 1000)

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.clock.advance(seconds)

    # What the use cases ask

    def fetch_reservation(
        self, reservation_sid: str, *, task_sid: str | None = None, worker_sid: str | None = None
    ) -> RemoteReservation:
        with self._lock:
            found = self._found(reservation_sid)
            if task_sid not in (None, found.task_sid):
                raise TaskRouterNotFound("no such Reservation of this Task")
            if task_sid is None and worker_sid != found.worker_sid:
                raise TaskRouterNotFound("no such Reservation of this Worker")
            return _seen(found)

    def update_reservation(
        self, reservation_sid: str, *, task_sid: str, to: Status, activity_sid: str | None
    ) -> RemoteReservation:
        with self._lock:
            found = self._found(reservation_sid)
            try:
                self._set(found, to, activity_sid)
            except BadRequest as refusal:
                self.asked.append(Asked(reservation_sid, to, self.now_ms(), was_refused=True))
                raise TaskRouterRefused(refusal.message) from refusal
            self.asked.append(Asked(reservation_sid, to, self.now_ms(), was_refused=False))
            self.clock.run_due()
            return _seen(found)

    def send_instruction(
        self, reservation_sid: str, *, task_sid: str, instruction: Instruction
    ) -> RemoteReservation:
        with self._lock:
            found = self._found(reservation_sid)
            try:
                instructions.carry_out(self._engine, self._workspace, found, instruction.answer)
            except instructions.InstructionError as refusal:
                raise TaskRouterRefused(refusal.message) from refusal
            self.instructed[reservation_sid] += 1
            self.clock.run_due()
            return _seen(found)

    def _set(self, found: Reservation, to: Status, activity_sid: str | None) -> None:
        if to is Status.ACCEPTED:
            assignments.accept(self._engine, self._workspace, found)
        elif to is Status.REJECTED:
            offers.reject(self._engine, self._workspace, found, activity_sid)
        else:
            task = self._workspace.tasks[found.task_sid]
            assignments.complete(self._engine, self._workspace, task)

    def list_pending_reservations(self, task_sid: str) -> list[RemoteReservation]:
        with self._lock:
            if task_sid not in self._workspace.tasks:
                raise TaskRouterNotFound("no such Task")
            every = self._workspace.reservations_of(self._workspace.tasks[task_sid])
            return [_seen(one) for one in every if one.status is ReservationStatus.PENDING]

    def list_reserved_tasks(self) -> list[str]:
        with self._lock:
            every = self._workspace.tasks.values()
            return [task.sid for task in every if task.status == "reserved"]

    def list_events(self, event_type: str, *, since: int, until: int) -> EventPage:
        with self._lock:
            every = [
                told
                for event in self._workspace.events.values()
                if event.event_type == event_type and since <= event.created * 1000 <= until
                if (told := self._told(event))
            ]
            return EventPage(every)

    def _told(self, event: Event) -> ReservationEvent | None:
        told = ReservationEvent.from_form(Form(list(event.parameters.items())), **self.ours())
        return told and replace(told, at=round(event.created * 1000))

    def create_task(self, task: NewTask) -> CreatedTask:
        with self._lock:
            return _created(self.new_task(task.attributes))

    def find_task(self, name: str, value: str, *, since: int) -> CreatedTask | None:
        with self._lock:
            for task in self._workspace.tasks.values():
                is_it = json.loads(task.attributes).get(name) == value
                if is_it and task.created * 1000 >= since:
                    # As TaskRouter lists them: without their attributes.
                    return replace(_created(task), attributes="null")
            return None

    def list_reservations(self, task_sid: str) -> list[RemoteReservation]:
        with self._lock:
            if task_sid not in self._workspace.tasks:
                raise TaskRouterNotFound("no such Task")
            every = self._workspace.reservations_of(self._workspace.tasks[task_sid])
            return [_seen(one) for one in every]

    def verify_workspace(self) -> None:
        pass

    def _found(self, sid: str) -> Reservation:
        if sid not in self._workspace.reservations:
            raise TaskRouterNotFound("no such Reservation")
        return self._workspace.reservations[sid]

    # What others do at TaskRouter

    def new_task(self, attributes: str = SPANISH) -> Task:
        task = tasks.create(self._engine, self._workspace, attributes=attributes)
        self.clock.run_due()
        return task

    def everybody_is_idle(self) -> None:
        idle = self._workspace.activity("Idle")
        assert idle
        for worker in self._workspace.workers.values():
            if not worker.held:
                workers.set_activity(self._engine, self._workspace, worker, idle.sid)
        self.clock.run_due()

    def set_task(self, task_sid: str, status: str) -> None:
        """Have an operator end or wrap up a Task, if that can be done now."""
        moves = {
            "canceled": assignments.cancel,
            "wrapping": assignments.wrap,
            "completed": assignments.complete,
        }
        try:
            moves[status](self._engine, self._workspace, self._workspace.tasks[task_sid])
        except (BadRequest, KeyError):
            return
        self.clock.run_due()

    def forget(self, task_sid: str) -> None:
        """Have a closed Task vanish, and its Reservations with it."""
        assignments.delete(self._engine, self._workspace, self._workspace.tasks[task_sid])

    def has_forgotten(self, reservation_sid: str) -> bool:
        return reservation_sid in self.statuses and reservation_sid not in self.known()

    def hear_answer(self, reservation_sid: str, answer: dict[str, Any]) -> None:
        """Carry an assignment instruction out."""
        instructions.answered(self._engine, self._workspace.sid, reservation_sid, answer)
        self.clock.run_due()

    # The truth

    def ours(self) -> dict[str, str]:
        return {"account_sid": self._engine.account_sid, "workspace_sid": self._workspace.sid}

    def known(self) -> dict[str, Reservation]:
        return self._workspace.reservations

    def offer(self) -> Reservation:
        """A new Task's Reservation, pending."""
        self.everybody_is_idle()
        task = self.new_task()
        (sid,) = task.reservation_sids
        return self._workspace.reservations[sid]

    def count_of_tasks(self) -> int:
        return len(self._workspace.tasks)


def _seen(one: Reservation) -> RemoteReservation:
    return RemoteReservation(
        reservation_sid=one.sid,
        task_sid=one.task_sid,
        worker_sid=one.worker_sid,
        worker_name=one.worker_name,
        status=Status(one.status.value),
        # Twilio tells it to the second.
        created_at=int(one.created) * 1000,
    )


def _created(task: Task) -> CreatedTask:
    return CreatedTask(
        sid=task.sid,
        attributes=task.attributes,
        assignment_status=task.status.value,
        workflow_sid=task.workflow_sid,
        task_queue_sid=task.queue_sid,
        priority=task.priority,
    )
