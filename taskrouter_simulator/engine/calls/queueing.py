"""`<Enqueue>`: the call waits, and with a Workflow it becomes a Task of the channel voice."""

import json

from taskrouter_simulator.engine import tasks
from taskrouter_simulator.engine.calls import bridges
from taskrouter_simulator.engine.calls.model import Call, Waiting, task_of
from taskrouter_simulator.engine.calls.twiml import Verb
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Workspace

NO_TASK = 14222
_MAX_ATTRIBUTES = 4096
_MAX_PRIORITY = 2**31 - 1
_MAX_TIMEOUT = 1_209_600


def enqueue(engine: Engine, call: Call, verb: Verb) -> str:
    """Put the call into the queue.

    Returns:
        Nothing, or the `QueueResult` with which it leaves at once.
    """
    workflow_sid = verb.attributes.get("workflowSid", "")
    name = workflow_sid or verb.text
    call.waiting = Waiting(engine.now(), name, verb.attributes.get("action", ""))
    if len(_waiting(engine, name)) > engine.settings.voice_queue_size:
        return "queue-full"
    if workflow_sid:
        try:
            _create_task(engine, call, verb, workflow_sid)
        except BadRequest as refusal:
            engine.alert(NO_TASK, refusal.message, {"call_sid": call.sid, "url": call.url})
            return "error"
    call.note(engine, "enqueued", queue=name, task_sid=call.task_sid)
    return ""


def _waiting(engine: Engine, name: str) -> list[Call]:
    """The calls in the queue of that name; whoever is being talked to has left it."""
    return [
        one
        for one in engine.calls.values()
        if one.waiting and one.waiting.name == name and not one.partner_sid
    ]


def _create_task(engine: Engine, call: Call, verb: Verb, workflow_sid: str) -> None:
    workspace = _workspace_of(engine, workflow_sid)
    noun = verb.child("Task", "TaskAttributes")
    priority = noun.number("priority", 0, _MAX_PRIORITY) if noun else 0
    timeout = noun.number("timeout", 0, _MAX_TIMEOUT) if noun else 0
    task = tasks.create(
        engine,
        workspace,
        attributes=_attributes(call.attributes(engine.account_sid), noun.text if noun else ""),
        workflow_sid=workflow_sid,
        priority=priority,
        timeout=timeout or engine.settings.task_timeout,
        channel="voice" if workspace.channel("voice") else "default",
    )
    call.workspace_sid, call.task_sid = workspace.sid, task.sid


def _workspace_of(engine: Engine, workflow_sid: str) -> Workspace:
    for workspace in engine.workspaces.values():
        if workflow_sid in workspace.workflows:
            return workspace
    raise BadRequest(f"Workflow {workflow_sid[:50]} does not exist")


def _attributes(own: dict[str, str], text: str) -> str:
    """The document's attributes, and those of the call's that it does not have."""
    try:
        given = dict(**json.loads(text or "{}"))
        merged = json.dumps({**own, **given}, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise BadRequest("The Task's attributes are not a JSON object") from error
    if len(merged) > _MAX_ATTRIBUTES:
        raise BadRequest(f"The Task's attributes are longer than {_MAX_ATTRIBUTES} characters")
    return merged


def dial(engine: Engine, worker: Call, reservation_sid: str, noun: Verb) -> Call:
    """Connect a leg with the caller who waits for the Worker of that Reservation.

    Returns:
        The caller.

    Raises:
        BadRequest: there is no such caller, or the Reservation is not pending.
    """
    caller = _waiting_for(engine, reservation_sid)
    if caller is None:
        raise BadRequest(f"Reservation {reservation_sid[:50]} has no waiting call")
    _claim(engine, worker, reservation_sid, noun)
    bridges.join(engine, caller, worker, "dial")
    return caller


def _waiting_for(engine: Engine, reservation_sid: str) -> Call | None:
    """The call that waits in a queue for the Worker of that Reservation."""
    for call in engine.calls.values():
        found = task_of(engine, call)
        if found and call.waiting and reservation_sid in found[1].reservation_sids:
            return call if call.partner_sid is None else None
    return None


def _claim(engine: Engine, worker: Call, reservation_sid: str, noun: Verb) -> None:
    """Make a leg that dials the queue the one of that Reservation, with its post-work Activity."""
    for workspace in engine.workspaces.values():
        if reservation := workspace.reservations.get(reservation_sid):
            worker.workspace_sid, worker.reservation_sid = workspace.sid, reservation.sid
            activity_sid = noun.attributes.get("postWorkActivitySid")
            if activity_sid in workspace.activities:
                reservation.post_work_activity_sid = activity_sid
