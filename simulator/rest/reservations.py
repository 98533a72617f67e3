"""Reservations, under a Task and under a Worker."""

from collections.abc import Iterable
from typing import Any

from simulator.engine import assignments, offers, workers
from simulator.engine.errors import BadRequest, NotFound
from simulator.engine.model import Reservation, ReservationStatus
from simulator.engine.reservations import require_move
from simulator.rest.call import Answer, Call, etag
from simulator.rest.forms import iso


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
    return Answer(200, render(call, reservation), etag(reservation))


def update(call: Call) -> Answer:
    """POST: accept, reject, wrap up, complete."""
    reservation, workspace, form = _found(call), call.workspace, call.form
    call.require_match(reservation)
    activity_sid = form.sid("WorkerActivitySid", "WA")
    if activity_sid:
        workers.require_activity(workspace, activity_sid)
    status = form.choice("ReservationStatus", ReservationStatus)
    task = workspace.tasks[reservation.task_sid]
    match status:
        case None:
            pass
        case ReservationStatus.ACCEPTED:
            assignments.accept(call.engine, workspace, reservation)
        case ReservationStatus.REJECTED:
            offers.reject(call.engine, workspace, reservation, activity_sid)
        case ReservationStatus.WRAPPING:
            require_move(reservation, status)
            assignments.wrap(call.engine, workspace, task)
        case ReservationStatus.COMPLETED:
            require_move(reservation, status)
            assignments.complete(call.engine, workspace, task)
        case _:
            raise BadRequest(f"ReservationStatus cannot be set to {status}")
    return Answer(200, render(call, reservation), etag(reservation))


def _of_parent(call: Call) -> Iterable[Reservation]:
    workspace = call.workspace
    if "worker" in call.ids:
        worker = call.find(workspace.workers, "worker")
        return [one for one in workspace.reservations.values() if one.worker_sid == worker.sid]
    return workspace.reservations_of(call.find(workspace.tasks, "task"))


def _found(call: Call) -> Reservation:
    for reservation in _of_parent(call):
        if reservation.sid == call.ids["sid"]:
            return reservation
    raise NotFound(call.path.removeprefix("/v1"))
