"""A Reservation's state machine, in one table, and what every move in it does.

Facts: https://www.twilio.com/docs/taskrouter/api/reservations; no page states the table whole, so
what is not in their sentences is inferred.
"""

from taskrouter_simulator.engine import events
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import NotPending
from taskrouter_simulator.engine.model import HELD, Reservation, Task, Workspace
from taskrouter_simulator.engine.model import ReservationStatus as Status

TRANSITIONS: dict[Status, frozenset[Status]] = {
    Status.PENDING: frozenset(
        {Status.ACCEPTED, Status.REJECTED, Status.TIMEOUT, Status.CANCELED, Status.RESCINDED}
    ),
    Status.ACCEPTED: frozenset({Status.WRAPPING, Status.COMPLETED, Status.CANCELED}),
    Status.WRAPPING: frozenset({Status.COMPLETED, Status.CANCELED}),
    Status.REJECTED: frozenset(),
    Status.TIMEOUT: frozenset(),
    Status.CANCELED: frozenset(),
    Status.RESCINDED: frozenset(),
    Status.COMPLETED: frozenset(),
}
_EVENTS = {Status.PENDING: "created", Status.WRAPPING: "wrapup"}


def move(engine: Engine, workspace: Workspace, reservation: Reservation, status: Status) -> None:
    """Change the status; a Reservation that ends frees its Worker's capacity.

    Raises:
        NotPending: the table does not allow it; nothing changed.
    """
    require_move(engine, reservation, status)
    reservation.status = status
    engine.disarm("reservation", reservation.sid)
    engine.offer_over(engine, reservation)
    engine.touch(reservation)
    if status not in HELD:
        worker = workspace.workers[reservation.worker_sid]
        worker.held.discard(reservation.sid)
        worker.unoccupied_since = engine.now()
        engine.touch(worker)
        engine.wake(workspace)


def require_move(engine: Engine, reservation: Reservation, status: Status) -> None:
    """Refuse what the table does not allow.

    Raises:
        NotPending: the Reservation cannot go to that status.
    """
    if status not in TRANSITIONS[reservation.status]:
        settings = engine.settings
        refusal = _refusal(reservation, status)
        raise NotPending(refusal, settings.not_pending_code, settings.not_pending_status)


def publish(engine: Engine, workspace: Workspace, reservation: Reservation) -> None:
    """Publish the event of the status that the Reservation has now."""
    what = _EVENTS.get(reservation.status, reservation.status.value)
    events.publish(
        engine,
        workspace,
        f"reservation.{what}",
        f"Reservation {reservation.sid} {what}",
        sid=reservation.sid,
        task=workspace.tasks[reservation.task_sid],
        worker=workspace.workers[reservation.worker_sid],
        reservation=reservation,
    )


def offers(workspace: Workspace, task: Task) -> list[Reservation]:
    """The Task's Reservations that nobody has answered."""
    every = workspace.reservations_of(task)
    return [one for one in every if one.status is Status.PENDING]


def assignments(workspace: Workspace, task: Task) -> list[Reservation]:
    """The Task's Reservations that a Worker has accepted and not completed."""
    every = workspace.reservations_of(task)
    return [one for one in every if one.status in HELD - {Status.PENDING}]


def not_pending(reservation: Reservation, doing: str) -> str:
    """Twilio's sentence for whoever comes too late, as far as it was seen."""
    return f"Unable to {doing}. Reservation {reservation.sid} is not currently in a Pending state."


def _refusal(reservation: Reservation, status: Status) -> str:
    if status in TRANSITIONS[Status.PENDING]:
        return not_pending(reservation, f"set Reservation status to {status}")
    return (
        f"Unable to set Reservation status to {status}. "
        f"Reservation {reservation.sid} is currently {reservation.status}."
    )
