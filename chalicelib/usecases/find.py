"""Find the Reservation that a caller means by its Task alone."""

from chalicelib.domain.errors import BadRequest, NotFound, TaskRouterNotFound
from chalicelib.domain.principals import Principal
from chalicelib.usecases.ports import TaskRouter


def pending_reservation_of(task_sid: str, *, principal: Principal, taskrouter: TaskRouter) -> str:
    """Ask TaskRouter for the Task's pending Reservation that *principal* may decide.

    Returns:
        Its SID (WR…).

    Raises:
        NotFound: no such Task, or it has none pending.
        Forbidden: the pending one is another Worker's.
        BadRequest: several Workers are reserved at once, so it has to be named.
        TaskRouterError: TaskRouter could not be asked.
    """
    try:
        pending = taskrouter.pending_reservations(task_sid)
    except TaskRouterNotFound as error:
        raise NotFound("TaskRouter does not know this Task.") from error
    own = [seen for seen in pending if principal.confined_to in (None, seen.worker_sid)]
    if len(own) == 1:
        return own[0].reservation_sid
    if own:
        raise BadRequest("The Task has several pending Reservations; name the reservation_sid.")
    if pending:
        principal.must_reach(pending[0].worker_sid)
    raise NotFound("The Task has no pending Reservation.")
