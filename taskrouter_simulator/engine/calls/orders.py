"""What a caller, an instruction that redirects or a Task's end does to a call."""

from taskrouter_simulator.engine.calls import lines
from taskrouter_simulator.engine.calls.model import Call, keep
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Task, Workspace


def place(
    engine: Engine,
    *,
    caller: str,
    called: str,
    url: str,
    keys: list[str | None],
    worker_answers: bool,
) -> Call:
    """Somebody calls: ask the app what to do.

    Args:
        engine: the engine.
        caller: who calls.
        called: which number.
        url: the number's voice URL.
        keys: what is pressed, one for each `<Gather>`; None is nothing.
        worker_answers: whether the Worker that the call is given to picks up.
    """
    one = Call(
        **vars(engine.stamp("CA")),
        caller=caller,
        called=called,
        direction="inbound",
        url=url,
        keys=keys,
        worker_answers=worker_answers,
    )
    keep(engine, one)
    one.note(engine, "placed", caller=caller, called=called)
    lines.fetch(engine, one, url)
    return one


def redirect(engine: Engine, call_sid: str, url: str) -> None:
    """Take the caller out of the queue, to another document.

    Raises:
        BadRequest: the call is over, or connected with somebody.
    """
    one = engine.calls.get(call_sid)
    if one is None:
        return
    if one.has_ended or one.partner_sid:
        raise BadRequest(f"Call {call_sid} cannot be redirected")
    one.waiting = None
    lines.stop_ringing(engine, one)
    one.note(engine, "redirected", url=url)
    lines.fetch(engine, one, url)


def hang_up(engine: Engine, one: Call) -> None:
    """Whoever is at that end hangs up; a Worker whose phone still rings does not pick up.

    Raises:
        BadRequest: the call is over.
    """
    if one.has_ended:
        raise BadRequest(f"Call {one.sid} has ended")
    if one.declined:
        one.declined()
    else:
        lines.end(engine, one, "hung up")


def task_gone(engine: Engine, workspace: Workspace, task: Task) -> None:
    """A Task was canceled or deleted: its caller leaves the queue."""
    result = engine.settings.canceled_task_result
    for one in list(engine.calls.values()):
        waits = one.waiting and not one.partner_sid and one.workspace_sid == workspace.sid
        if waits and one.task_sid == task.sid and result != "none":
            lines.leave(engine, one, result)
