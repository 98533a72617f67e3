"""Places, redirects and hangs up calls, and rings Workers.

While a Worker's phone rings for `dequeue` or `conference`, the Reservation does not time out:
https://support.twilio.com/hc/en-us/articles/42786996187419. Twilio does not document the
Reservation's outcome if the Worker does not answer, so a setting defines the outcome.
"""

from dataclasses import dataclass
from functools import partial

from taskrouter_simulator.continuations import Continuation, continuation
from taskrouter_simulator.engine import assignments, reservations, transfers
from taskrouter_simulator.engine.call_model import (
    Call,
    Conference,
    Participant,
    StatusSubscription,
)
from taskrouter_simulator.engine.calls import call_tasks, conferences, execution, ringing
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Reservation, ReservationStatus, Task, Workspace

RING_SECONDS = 60


def place(
    engine: Engine,
    *,
    caller: str,
    called: str,
    url: str,
    keys: list[str | None],
    worker_answers: bool,
) -> Call:
    """Place an inbound call, and request its first document.

    Args:
        engine: The engine.
        caller: Number or client of the calling party.
        called: Called number.
        url: Voice URL of the called number.
        keys: Keys that the caller presses, one entry for each `<Gather>`; None for no key.
        worker_answers: Whether Workers and dialed parties answer when their phones ring for the
            call.
    """
    call = Call(
        **vars(engine.new_resource("CA")),
        caller=caller,
        called=called,
        direction="inbound",
        url=url,
        keys=keys,
        worker_answers=worker_answers,
    )
    execution.add(engine, call)
    engine.record_step(call, "placed", caller=caller, called=called)
    execution.fetch(engine, call, url)
    return call


def redirect(engine: Engine, call_sid: str, url: str) -> None:
    """Redirect a caller to a new document; ignore a call that does not exist.

    Raises:
        BadRequest: The call has ended, or is connected to a Worker.
    """
    call = engine.calls.get(call_sid)
    if call is None:
        return
    if call.has_ended or (call.is_connected and call.connected_by):
        raise BadRequest(f"Call {call_sid} cannot be redirected")
    call.queued = None
    execution.stop_ringing(engine, call)
    if dialed := call_tasks.disconnect(engine, call):
        call.dial = None
        execution.end(engine, dialed, "the caller was redirected")
    engine.record_step(call, "redirected", url=url)
    execution.fetch(engine, call, url)


def answer(call: Call) -> None:
    """Answer a ringing phone.

    Raises:
        BadRequest: The phone is not ringing.
    """
    if call.on_answer is None:
        raise BadRequest(f"No phone is ringing for call {call.sid}")
    call.on_answer()


def hang_up(engine: Engine, call: Call) -> None:
    """End a call; a leg that is still ringing ends unanswered.

    Raises:
        BadRequest: The call has ended.
    """
    if call.has_ended:
        raise BadRequest(f"Call {call.sid} has ended")
    if call.on_no_answer:
        call.on_no_answer()
    else:
        execution.end(engine, call, "hung up")


def remove_from_queue(engine: Engine, workspace: Workspace, task: Task) -> None:
    """Remove a canceled or deleted Task's caller from the queue, as configured."""
    result = engine.settings.canceled_task_result
    for call in list(engine.calls.values()):
        is_waiting = call.is_waiting and call.workspace_sid == workspace.sid
        if is_waiting and call.task_sid == task.sid and result != "none":
            execution.leave_queue(engine, call, result)


def stop_ringing(
    engine: Engine, reservation: Reservation, reason: str = "the Reservation is no longer pending"
) -> None:
    """Cancel the leg that is ringing for a Reservation."""
    for leg in execution.ringing_legs(engine):
        if leg.reservation_sid == reservation.sid:
            execution.cancel_leg(engine, leg, reason)


def update_calls(engine: Engine, reservation: Reservation) -> None:
    """Stop ringing and end calls as required after a Reservation's status has changed.

    A caller whose call is not simulated is assumed to hang up when the accepted Reservation starts
    wrapping or ends. A Worker leaves the call after a cold transfer.
    """
    stop_ringing(engine, reservation)
    if reservation.status is ReservationStatus.ACCEPTED:
        return
    for leg in list(engine.calls.values()):
        if leg.reservation_sid != reservation.sid or not leg.connected_by or leg.has_ended:
            continue
        if _is_transferred(engine, leg):
            # Let the Worker leave after this change, because leaving now could end the conference
            # and close the Task during the change.
            engine.set_timer("ring", leg.sid, engine.now(), partial(_leave_call, engine, leg))
        elif not leg.caller_sid:
            execution.end(engine, leg, "the caller is assumed to have hung up")


def _is_transferred(engine: Engine, leg: Call) -> bool:
    """Return whether the Worker of a leg has just started a cold transfer of the Task."""
    found = call_tasks.reservation_of(engine, leg)
    if found is None:
        return False
    workspace, reservation = found
    transfer = transfers.active(workspace.tasks[reservation.task_sid])
    return bool(
        transfer and transfer.mode == "COLD" and transfer.reservation_sid == reservation.sid
    )


@continuation
def _leave_call(engine: Engine, leg: Call) -> None:
    execution.end(engine, leg, "the Worker has transferred the Task")


@dataclass(frozen=True)
class WorkerCall:
    """The leg to a reserved Worker, and the waiting caller, if simulated."""

    engine: Engine
    workspace: Workspace
    reservation: Reservation
    caller: Call | None
    leg: Call


def create_worker_call(
    engine: Engine,
    workspace: Workspace,
    reservation: Reservation,
    *,
    call_sid: object,
    to: str,
    caller_id: str,
    status_callback: StatusSubscription | None,
) -> WorkerCall:
    """Create a leg to a Worker; the Worker's phone does not ring yet.

    Args:
        engine: The engine.
        workspace: The Workspace.
        reservation: The pending Reservation.
        call_sid: `call_sid` in the Task's attributes.
        to: Number or client to call.
        caller_id: Number or client shown to the Worker.
        status_callback: Subscription to the progress of the leg, if any.

    Raises:
        BadRequest: The caller is neither waiting in a queue nor in the Task's conference.
    """
    caller = engine.calls.get(str(call_sid))
    if caller and not caller.is_waiting and not _is_in_conference(engine, caller, reservation):
        raise BadRequest(f"Call {caller.sid} is not waiting in a queue")
    leg = Call(
        **vars(engine.new_resource("CA")),
        caller=caller_id,
        called=to,
        direction="outbound-api",
        url="",
        workspace_sid=workspace.sid,
        reservation_sid=reservation.sid,
        caller_sid=caller.sid if caller else "",
        status_callback=status_callback,
    )
    stop_ringing(engine, reservation, "the Worker is being called again")
    execution.add(engine, leg)
    return WorkerCall(engine, workspace, reservation, caller, leg)


def _is_in_conference(engine: Engine, caller: Call, reservation: Reservation) -> bool:
    conference = conferences.find(engine, reservation.task_sid)
    return conference is not None and caller.conference_sid == conference.sid


def ring_and_connect(call: WorkerCall, seconds: int, connect: Continuation) -> None:
    """Ring the Worker; answering connects the caller and accepts the Reservation.

    Args:
        call: The call.
        seconds: Maximum ringing time.
        connect: Connects the caller and accepts the Reservation.
    """
    call.engine.cancel_timer("reservation", call.reservation.sid)
    _ring(call, seconds, partial(_connect, call, connect), partial(_end_unanswered, call))


@continuation
def _connect(call: WorkerCall, connect: Continuation) -> None:
    connect()
    if call.caller:
        execution.stop_ringing(call.engine, call.caller)


def ring_and_run(call: WorkerCall, url: str, seconds: int, *, accept: bool) -> None:
    """Ring the Worker; after the Worker answers, the leg executes its own document.

    Args:
        call: The call.
        url: URL of the document.
        seconds: Maximum ringing time.
        accept: Whether answering accepts the Reservation.
    """
    on_no_answer = partial(_end_unanswered, call) if accept else None
    _ring(call, seconds, partial(_run_document, call, url, accept), on_no_answer)


@continuation
def _run_document(call: WorkerCall, url: str, accept: bool) -> None:  # noqa: FBT001 - stored
    call.engine.record_step(call.leg, "picked up")
    if accept:
        assignments.accept(call.engine, call.workspace, call.reservation)
    execution.fetch(call.engine, call.leg, url)


def _ring(
    call: WorkerCall, seconds: int, on_answer: Continuation, on_no_answer: Continuation | None
) -> None:
    """Ring the Worker, who answers immediately if the caller is not simulated."""
    engine, caller, leg = call.engine, call.caller, call.leg
    name = call.reservation.worker_name
    engine.record_step(leg, "ringing", at_worker=name, called=leg.called)
    if caller:
        engine.record_step(caller, "ringing the Worker", worker=name, with_call=leg.sid)
    ringing.ring(
        engine,
        leg,
        answer_delay=execution.answer_delay(engine, caller) if caller else 0,
        seconds=seconds,
        on_answer=on_answer,
        on_no_answer=partial(_give_up, call, on_no_answer),
    )


@continuation
def _give_up(call: WorkerCall, on_no_answer: Continuation | None) -> None:
    execution.end(call.engine, call.leg, "no answer", "no-answer")
    if on_no_answer:
        on_no_answer()


@continuation
def _end_unanswered(call: WorkerCall) -> None:
    engine, workspace, reservation = call.engine, call.workspace, call.reservation
    match engine.settings.unanswered_call:
        case "canceled":
            reservations.cancel_and_reoffer(engine, workspace, reservation)
        case "rejected":
            reservations.reject(engine, workspace, reservation)
        case "timeout":
            reservations.time_out(engine, workspace, reservation)
        case _:
            reservations.start_timer(engine, workspace, reservation)


def supervise(
    engine: Engine, conference: Conference, *, to: str, caller_id: str, mode: str
) -> None:
    """Call a supervisor, who answers immediately and joins a conference.

    Args:
        engine: The engine.
        conference: The conference.
        to: Number or client of the supervisor.
        caller_id: Number or client shown to the supervisor.
        mode: "monitor" (the supervisor only listens), "whisper" (only the Worker hears the
            supervisor) or "barge" (everyone hears the supervisor).
    """
    leg = Call(
        **vars(engine.new_resource("CA")),
        caller=caller_id,
        called=to,
        direction="outbound-api",
        url="",
        answered=engine.now(),
    )
    execution.add(engine, leg)
    supervisor = Participant(
        call_sid=leg.sid, role="supervisor", muted=mode == "monitor", coaching=mode == "whisper"
    )
    conferences.join(engine, conference, supervisor)
    engine.record_step(leg, "connected", with_call=None, how=mode)
