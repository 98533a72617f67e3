"""Caller and Worker connected, and parted again; what that does to Task and Reservation.

Twilio keeps the Task of a call in step with it: a caller who hangs up while waiting cancels it, and
when the connected call ends, so does the work:
https://www.twilio.com/docs/taskrouter/twiml-queue-calls.
"""

from taskrouter_simulator.engine import assignments, workers
from taskrouter_simulator.engine.calls.model import Call, reservation_of, task_of
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.model import WAITING, Task, TaskStatus, Workspace
from taskrouter_simulator.engine.reservations import assignments as assigned

HANGUP = "hangup"
REDIRECTED = "redirected"


def join(engine: Engine, caller: Call, worker: Call, how: str) -> None:
    """Connect the two, and have the Reservation of the Worker's leg accepted.

    Args:
        engine: the engine.
        caller: the caller's leg, which leaves its queue.
        worker: the Worker's.
        how: the instruction or the verb that does it.

    Raises:
        BadRequest: the Reservation is not pending; nothing changed.
    """
    found = reservation_of(engine, worker)
    name = worker.called
    if found:
        workspace, reservation = found
        assignments.accept(engine, workspace, reservation)
        name = reservation.worker_name
    caller.partner_sid, worker.partner_sid = worker.sid, caller.sid
    caller.status = worker.status = "in-progress"
    worker.note(engine, "connected", with_call=caller.sid, how=how)
    caller.note(engine, "connected", to=name, with_call=worker.sid, how=how)


def part(engine: Engine, call: Call) -> Call | None:
    """End the connection of a call, if it has one, and the other end's Task; the leg left over."""
    partner = engine.calls.get(call.partner_sid or "")
    if partner is None:
        return None
    call.partner_sid = partner.partner_sid = None
    finish_task(engine, partner)
    return partner


def finish_task(engine: Engine, call: Call, why: str = HANGUP) -> None:
    """The call that a Task was is over: cancel it, or end the work as the settings say.

    Args:
        engine: the engine.
        call: the caller's leg.
        why: the reason that a canceled Task tells.
    """
    found = task_of(engine, call)
    if found is None:
        return
    workspace, task = found
    if task.status in WAITING:
        assignments.cancel(engine, workspace, task, why)
    elif task.status is TaskStatus.ASSIGNED:
        _end_work(engine, workspace, task)


def _end_work(engine: Engine, workspace: Workspace, task: Task) -> None:
    match engine.settings.ended_call:
        case "completed":
            assignments.complete(engine, workspace, task)
            return
        case "wrapping":
            assignments.wrap(engine, workspace, task)
    for reservation in assigned(workspace, task):
        # once: completing the Task would do it again
        activity_sid, reservation.post_work_activity_sid = reservation.post_work_activity_sid, None
        if activity_sid in workspace.activities:
            worker = workspace.workers[reservation.worker_sid]
            workers.set_activity(engine, workspace, worker, activity_sid)
