"""Find the Reservation that a caller means by its Task alone."""

from chalicelib.domain.errors import BadRequest, NotFound, TaskRouterNotFound
from chalicelib.domain.principals import Principal
from chalicelib.domain.reservations import ACHIEVED, Status
from chalicelib.domain.taskrouter import Seen
from chalicelib.usecases.ports import TaskRouter


def reservation_to_accept(task_sid: str, *, principal: Principal, taskrouter: TaskRouter) -> str:
    """Ask TaskRouter for the Task's pending Reservation that *principal* may decide.

    Where none is pending it may be that this was asked before, and worked: then it is the one that
    was accepted.

    Returns:
        Its SID (WR…).

    Raises:
        NotFound: no such Task, or it has none pending nor accepted.
        Forbidden: it is another Worker's.
        BadRequest: several Workers are reserved at once, so it has to be named.
        TaskRouterError: TaskRouter could not be asked.
    """
    try:
        found = taskrouter.pending_reservations(task_sid)
        if not found:
            found = [
                seen
                for seen in taskrouter.reservations(task_sid)
                if seen.status in ACHIEVED[Status.ACCEPTED]
            ]
    except TaskRouterNotFound as error:
        raise NotFound("TaskRouter does not know this Task.") from error
    return _the_one(found, principal).reservation_sid


def _the_one(found: list[Seen], principal: Principal) -> Seen:
    own = [seen for seen in found if principal.confined_to in (None, seen.worker_sid)]
    if len(own) == 1:
        return own[0]
    if own:
        raise BadRequest("The Task has several pending Reservations; name the reservation_sid.")
    if found:
        principal.must_reach(found[0].worker_sid)
    raise NotFound("The Task has no pending Reservation.")
