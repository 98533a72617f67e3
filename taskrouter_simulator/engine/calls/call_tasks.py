"""Creates, accepts and finishes the Tasks of queued calls.

If a caller hangs up while waiting, the Task is canceled. When a connected call ends, its Task is
completed by default: https://www.twilio.com/docs/taskrouter/twiml-queue-calls.
"""

import json
from typing import Any

from taskrouter_simulator.continuations import continuation
from taskrouter_simulator.engine import assignments, reservations, tasks, workers
from taskrouter_simulator.engine.call_model import Call, Participant, QueuePosition, Verb
from taskrouter_simulator.engine.calls import conferences
from taskrouter_simulator.engine.conference_parameters import ConferenceOptions
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import (
    MAX_ATTRIBUTES_LENGTH,
    NESTING_RESERVE,
    WAITING,
    Reservation,
    ReservationStatus,
    Task,
    TaskStatus,
    Workspace,
    parse_attributes,
)

NO_TASK = 14222
HANGUP = "hangup"
REDIRECTED = "redirected"
CONFERENCE = "conference"
_MAX_PRIORITY = 2**31 - 1
_MAX_TIMEOUT = 1_209_600


def task_of(engine: Engine, call: Call) -> tuple[Workspace, Task] | None:
    """Return the Workspace and the Task of a caller's leg; None if there is no Task."""
    workspace = engine.workspaces.get(call.workspace_sid)
    task = workspace.tasks.get(call.task_sid) if workspace else None
    return (workspace, task) if workspace and task else None


def reservation_of(engine: Engine, call: Call) -> tuple[Workspace, Reservation] | None:
    """Return the Workspace and Reservation of a Worker's leg; None if either is missing."""
    workspace = engine.workspaces.get(call.workspace_sid)
    reservation = workspace.reservations.get(call.reservation_sid) if workspace else None
    return (workspace, reservation) if workspace and reservation else None


def enqueue(engine: Engine, call: Call, verb: Verb) -> str:
    """Execute `<Enqueue>`: add a call to a queue; with a Workflow, create a Task.

    Returns:
        "" if the call waits, or the `QueueResult` of a call that leaves the queue immediately.
    """
    workflow_sid = verb.attributes.get("workflowSid", "")
    name = workflow_sid or verb.text
    call.queued = QueuePosition(engine.now(), name, verb.attributes.get("action", ""))
    if _queue_length(engine, name) > engine.settings.voice_queue_size:
        return "queue-full"
    if workflow_sid:
        try:
            _create_task(engine, call, verb, workflow_sid)
        except BadRequest as error:
            engine.alert(NO_TASK, error.message, {"call_sid": call.sid, "url": call.url})
            return "error"
    engine.record_step(call, "enqueued", queue=name, task_sid=call.task_sid)
    return ""


def _queue_length(engine: Engine, name: str) -> int:
    """Return the number of calls in a queue; connected calls are not counted."""
    return sum(
        call.is_waiting and call.queued is not None and call.queued.name == name
        for call in engine.calls.values()
    )


def _create_task(engine: Engine, call: Call, verb: Verb, workflow_sid: str) -> None:
    workspace = _workspace_of(engine, workflow_sid)
    noun = verb.child("Task", "TaskAttributes")
    priority = noun.number("priority", 0, _MAX_PRIORITY) if noun else 0
    timeout = noun.number("timeout", 0, _MAX_TIMEOUT) if noun else 0
    call_attributes = call.attributes(engine.account_sid)
    task = tasks.create(
        engine,
        workspace,
        attributes=_merge_attributes(call_attributes, noun.text if noun else ""),
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


def _merge_attributes(call_attributes: dict[str, str], text: str) -> str:
    """Return the merged attributes as JSON text.

    Attributes in `text` override the call's attributes.
    """
    try:
        document_attributes = dict(**json.loads(text or "{}"))
        merged = json.dumps({**call_attributes, **document_attributes}, allow_nan=False)
        json.loads("[" * NESTING_RESERVE + merged + "]" * NESTING_RESERVE)
    except (ValueError, TypeError) as error:
        raise BadRequest("The Task's attributes are not a JSON object") from error
    except RecursionError as error:
        raise BadRequest("The Task's attributes are nested too deeply") from error
    if len(merged) > MAX_ATTRIBUTES_LENGTH:
        raise BadRequest(
            f"The Task's attributes are longer than {MAX_ATTRIBUTES_LENGTH} characters"
        )
    return merged


def dial_queue(engine: Engine, leg: Call, reservation_sid: str, noun: Verb) -> Call:
    """Execute `<Dial><Queue>`: connect a leg to the Reservation's caller.

    Returns:
        The caller's leg.

    Raises:
        BadRequest: No caller is waiting for the Reservation, or the Reservation is not pending.
    """
    caller = _caller_waiting_for(engine, reservation_sid)
    if caller is None:
        raise BadRequest(f"Reservation {reservation_sid[:50]} has no waiting call")
    for workspace in engine.workspaces.values():
        if reservation := workspace.reservations.get(reservation_sid):
            leg.workspace_sid, leg.reservation_sid = workspace.sid, reservation.sid
            activity_sid = noun.attributes.get("postWorkActivitySid")
            if activity_sid in workspace.activities:
                reservation.post_work_activity_sid = activity_sid
    connect(engine, caller, leg, "dial")
    return caller


def _caller_waiting_for(engine: Engine, reservation_sid: str) -> Call | None:
    for call in engine.calls.values():
        found = task_of(engine, call)
        if found and call.queued:
            _, task = found
            if any(item.sid == reservation_sid for item in task.reservations):
                return None if call.is_connected else call
    return None


@continuation
def connect(engine: Engine, caller: Call | None, leg: Call, how: str) -> None:
    """Connect a caller to a Worker's leg, and accept the leg's Reservation.

    Args:
        engine: The engine.
        caller: The caller's leg, which is waiting in a queue; None if it is not simulated.
        leg: The Worker's leg.
        how: Name of the instruction or verb that connects the legs.

    Raises:
        BadRequest: The Reservation is not pending; nothing has changed.
    """
    found = reservation_of(engine, leg)
    name = leg.called
    if found:
        workspace, reservation = found
        assignments.accept(engine, workspace, reservation)
        name = reservation.worker_name
    leg.status = "in-progress"
    if caller:
        caller.partner_sid, leg.partner_sid = leg.sid, caller.sid
        caller.status = "in-progress"
        caller.answered = engine.now()
    _record_connection(engine, caller, leg, name, how)


def _record_connection(engine: Engine, caller: Call | None, leg: Call, name: str, how: str) -> None:
    """Record the connection of two legs; `name` is the name of the called party."""
    leg.connected_by = how
    engine.record_step(leg, "connected", with_call=caller.sid if caller else None, how=how)
    if caller:
        caller.connected_by = how
        engine.record_step(caller, "connected", to=name, with_call=leg.sid, how=how)


@continuation
def join_conference(
    engine: Engine, caller: Call | None, leg: Call, options: ConferenceOptions
) -> None:
    """Accept the leg's Reservation, and connect the leg and the caller in the Task's conference.

    The Worker joins first: https://www.twilio.com/docs/taskrouter/api/reservations. After a
    transfer, the Worker joins the conference of the caller and the preceding Worker.

    Args:
        engine: The engine.
        caller: The caller's leg; None if it is not simulated.
        leg: The Worker's leg.
        options: Options of the instruction.

    Raises:
        BadRequest: The Reservation is not pending; nothing has changed.
    """
    found = reservation_of(engine, leg)
    if found is None:
        raise BadRequest(f"Reservation {leg.reservation_sid} does not exist")
    workspace, reservation = found
    assignments.accept(engine, workspace, reservation)
    task = workspace.tasks[reservation.task_sid]
    attributes = parse_attributes(task.attributes)
    customer_sid = caller.sid if caller else attributes.get("call_sid") or engine.new_sid("CA")
    conference = conferences.find(engine, task.sid)
    is_new = conference is None
    conference = conference or conferences.create(engine, task.sid, options.conference)
    worker = Participant(
        call_sid=leg.sid,
        role="worker",
        muted=options.muted,
        start_conference_on_enter=options.start_on_enter,
        end_conference_on_exit=options.end_on_exit,
    )
    conferences.join(engine, conference, worker)
    if is_new:
        ends = options.end_on_customer_exit
        customer = Participant(call_sid=customer_sid, role="customer", end_conference_on_exit=ends)
        conferences.join(engine, conference, customer)
    participants = {"worker": leg.sid, "customer": customer_sid}
    add_attributes(engine, task, conference={"sid": conference.sid, "participants": participants})
    _record_connection(engine, caller, leg, reservation.worker_name, CONFERENCE)


def add_attributes(engine: Engine, task: Task, **attributes: Any) -> None:
    """Add attributes to a Task, replacing attributes with the same names."""
    task.attributes = json.dumps({**parse_attributes(task.attributes), **attributes})
    engine.touch(task)


def disconnect(engine: Engine, call: Call) -> Call | None:
    """Disconnect a call from its partner; return the partner, if any."""
    partner = engine.calls.get(call.partner_sid or "")
    if partner:
        call.partner_sid = partner.partner_sid = None
    return partner


def finish(engine: Engine, call: Call) -> None:
    """Finish the Reservation for which a call was connected, and the Task of the call."""
    if call.reservation_sid and call.connected_by:
        _finish_reservation_of(engine, call)
    finish_task(engine, call)


def finish_task(engine: Engine, call: Call, reason: str = HANGUP) -> None:
    """Cancel a caller's waiting Task, or finish an assigned Task as configured.

    A Task with a conference is not finished until its Worker has left the conference.

    Args:
        engine: The engine.
        call: The caller's leg.
        reason: Reason recorded if the Task is canceled.
    """
    found = task_of(engine, call)
    if found is None:
        return
    workspace, task = found
    if task.status in WAITING:
        assignments.cancel(engine, workspace, task, reason)
    elif task.status is TaskStatus.ASSIGNED and call.connected_by != CONFERENCE:
        for reservation in reservations.assigned(task):
            _finish_reservation(engine, workspace, reservation, engine.settings.ended_call)


def _finish_reservation_of(engine: Engine, leg: Call) -> None:
    found = reservation_of(engine, leg)
    if found is None or found[1].status is not ReservationStatus.ACCEPTED:
        return
    workspace, reservation = found
    settings = engine.settings
    uses_conference_setting = leg.connected_by == CONFERENCE and workspace.multi_task_enabled
    status = settings.ended_conference if uses_conference_setting else settings.ended_call
    _finish_reservation(engine, workspace, reservation, status)


def _finish_reservation(
    engine: Engine, workspace: Workspace, reservation: Reservation, status: str
) -> None:
    match status:
        case "completed":
            assignments.complete_reservation(engine, workspace, reservation)
            return
        case "wrapping":
            assignments.wrap_reservation(engine, workspace, reservation)
    activity_sid = reservation.post_work_activity_sid
    # Clear the SID, so that completing the Task does not change the Activity a second time.
    reservation.post_work_activity_sid = None
    if activity_sid in workspace.activities:
        worker = workspace.workers[reservation.worker_sid]
        workers.set_activity(engine, workspace, worker, activity_sid)
