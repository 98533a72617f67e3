"""Reservations, under a Task and under a Worker."""

import re
from collections.abc import Iterable
from typing import Any

from taskrouter_simulator.engine import assignments, instructions, reservations, workers
from taskrouter_simulator.engine.errors import BadRequest, NotFound
from taskrouter_simulator.engine.instruction_parameters import InstructionError
from taskrouter_simulator.engine.model import Reservation, ReservationStatus
from taskrouter_simulator.engine.reservations import require_transition
from taskrouter_simulator.rest.call import Answer, Call
from taskrouter_simulator.rest.forms import Form, iso

_PREFIXES = {"dequeue": "Dequeue", "call": "Call", "redirect": "Redirect"}
_NAMES = {"DequeueStatusCallbackEvent": "status_callback_events"}


def render(call: Call, reservation: Reservation) -> dict[str, Any]:
    """The resource as Twilio shows it; its URL is under whatever the call came by."""
    workspace = call.workspace
    task = call.url(workspace.sid, "Tasks", reservation.task_sid)
    worker = call.url(workspace.sid, "Workers", reservation.worker_sid)
    parent = worker if "worker" in call.ids else task
    return {
        "account_sid": call.engine.account_sid,
        "date_created": iso(reservation.created),
        "date_updated": iso(reservation.updated),
        "reservation_status": reservation.status.value,
        "sid": reservation.sid,
        "task_sid": reservation.task_sid,
        "worker_name": reservation.worker_name,
        "worker_sid": reservation.worker_sid,
        "workspace_sid": workspace.sid,
        "url": f"{parent}/Reservations/{reservation.sid}",
        "links": {"task": task, "worker": worker, "workspace": call.url(workspace.sid)},
    }


def index(call: Call) -> Answer:
    """GET: list, of one Task or of one Worker."""
    status = call.query.choice("ReservationStatus", ReservationStatus)
    worker_sid = call.query.text("WorkerSid")
    return call.page(
        "reservations",
        _of_parent(call),
        lambda reservation: render(call, reservation),
        keep=lambda reservation: (
            status in {None, reservation.status} and worker_sid in {None, reservation.worker_sid}
        ),
    )


def fetch(call: Call) -> Answer:
    """GET: one."""
    reservation = _found(call)
    return Answer(200, render(call, reservation), call.etag(reservation))


def update(call: Call) -> Answer:
    """POST: an instruction, or a status: accept, reject, wrap up, complete."""
    reservation = _found(call)
    call.require_match(reservation)
    if name := call.form.text("Instruction"):
        _instruct(call, reservation, name.lower())
    else:
        activity_sid = call.form.sid("WorkerActivitySid", "WA")
        if activity_sid:
            workers.require_activity(call.workspace, activity_sid)
        status = call.form.choice("ReservationStatus", ReservationStatus)
        _set_status(call, reservation, status, activity_sid)
    return Answer(200, render(call, reservation), call.etag(reservation))


def _set_status(
    call: Call,
    reservation: Reservation,
    status: ReservationStatus | None,
    activity_sid: str | None,
) -> None:
    engine, workspace = call.engine, call.workspace
    task = workspace.tasks[reservation.task_sid]
    match status:
        case None:
            pass
        case ReservationStatus.ACCEPTED if engine.settings.accept_twice and (
            reservation.status is ReservationStatus.ACCEPTED
        ):
            pass
        case ReservationStatus.ACCEPTED:
            assignments.accept(engine, workspace, reservation)
        case ReservationStatus.REJECTED:
            reservations.reject(engine, workspace, reservation, activity_sid)
        case ReservationStatus.WRAPPING:
            require_transition(engine, reservation, status)
            assignments.wrap(engine, workspace, task)
        case ReservationStatus.COMPLETED:
            require_transition(engine, reservation, status)
            assignments.complete(engine, workspace, task)
        case _:
            raise BadRequest(f"ReservationStatus cannot be set to {status}")


def _instruct(call: Call, reservation: Reservation, name: str) -> None:
    if name == "supervise":
        raise BadRequest("Instruction supervise is not simulated")
    try:
        answer = _as_answer(call.form, name)
        instructions.execute(call.engine, call.workspace, reservation, answer)
    except InstructionError as fault:
        raise BadRequest(fault.message, fault.code) from fault


def _as_answer(form: Form, name: str) -> dict[str, Any]:
    """The form's parameters by the names that they have in a callback's answer."""
    prefix = _PREFIXES.get(name, "")
    answer: dict[str, Any] = {}
    for key in dict(form.pairs):
        if key.startswith(prefix) and key != "Instruction":
            words = re.findall("[A-Z][a-z0-9]*", key.removeprefix(prefix))
            own = _NAMES.get(key, "_".join(words).lower())
            answer[own] = ",".join(form.every(key))
    if name == "reject":
        answer["activity_sid"] = form.text("WorkerActivitySid")
    return {**answer, "instruction": name}


def _of_parent(call: Call) -> Iterable[Reservation]:
    workspace = call.workspace
    if "worker" in call.ids:
        worker = call.find(workspace.workers, "worker")
        return [one for one in workspace.reservations.values() if one.worker_sid == worker.sid]
    return call.find(workspace.tasks, "task").reservations


def _found(call: Call) -> Reservation:
    for reservation in _of_parent(call):
        if reservation.sid == call.ids["sid"]:
            return reservation
    raise NotFound(call.path.removeprefix("/v1"))
