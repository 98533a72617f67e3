"""Places, redirects and hangs up calls, and rings Workers.

While a Worker's phone rings for `dequeue` or `conference`, the Reservation's timer is paused:
https://support.twilio.com/hc/en-us/articles/42786996187419. Twilio does not document the
Reservation's outcome if the Worker does not answer, so a setting defines the outcome.
"""

from collections.abc import Callable
from dataclasses import dataclass

from taskrouter_simulator.engine import assignments, reservations
from taskrouter_simulator.engine.call_model import Call
from taskrouter_simulator.engine.calls import call_tasks, execution
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Reservation, Task, Workspace

RING_SECONDS = 60
_MAX_CALLS = 1000


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
        worker_answers: Whether Workers answer when their phones ring for the call.
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
    _add(engine, call)
    engine.record_step(call, "placed", caller=caller, called=called)
    execution.fetch(engine, call, url)
    return call


def redirect(engine: Engine, call_sid: str, url: str) -> None:
    """Redirect a caller to another document; ignore a call that does not exist.

    Raises:
        BadRequest: The call has ended or is connected.
    """
    call = engine.calls.get(call_sid)
    if call is None:
        return
    if call.has_ended or call.partner_sid:
        raise BadRequest(f"Call {call_sid} cannot be redirected")
    call.queued = None
    execution.stop_ringing(engine, call)
    engine.record_step(call, "redirected", url=url)
    execution.fetch(engine, call, url)


def hang_up(engine: Engine, call: Call) -> None:
    """End a call; a ringing leg to a Worker ends unanswered.

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
        is_waiting = call.queued and not call.partner_sid and call.workspace_sid == workspace.sid
        if is_waiting and call.task_sid == task.sid and result != "none":
            execution.leave_queue(engine, call, result)


def stop_ringing(
    engine: Engine, reservation: Reservation, why: str = "the Reservation is no longer pending"
) -> None:
    """Cancel the leg that is ringing for a Reservation."""
    for leg in execution.ringing_legs(engine):
        if leg.reservation_sid == reservation.sid:
            execution.cancel_leg(engine, leg, why)


@dataclass(frozen=True)
class WorkerCall:
    """A waiting caller, and the leg that is placed to the reserved Worker."""

    engine: Engine
    workspace: Workspace
    reservation: Reservation
    caller: Call
    leg: Call


def create_worker_call(
    engine: Engine,
    workspace: Workspace,
    reservation: Reservation,
    *,
    call_sid: object,
    to: str,
    caller_id: str,
) -> WorkerCall | None:
    """Create a leg to a Worker; the Worker's phone does not ring yet.

    Args:
        engine: The engine.
        workspace: The Workspace.
        reservation: The pending Reservation.
        call_sid: `call_sid` in the Task's attributes.
        to: Number or client to call.
        caller_id: Number or client shown to the Worker.

    Returns:
        The caller and the leg; None if the simulator has no call with the SID.

    Raises:
        BadRequest: The caller is not waiting in a queue.
    """
    caller = engine.calls.get(str(call_sid))
    if caller is None:
        return None
    if caller.queued is None or caller.partner_sid:
        raise BadRequest(f"Call {caller.sid} is not waiting in a queue")
    leg = Call(
        **vars(engine.new_resource("CA")),
        caller=caller_id,
        called=to,
        direction="outbound-api",
        url="",
        workspace_sid=workspace.sid,
        reservation_sid=reservation.sid,
        caller_sid=caller.sid,
    )
    stop_ringing(engine, reservation, "the Worker is called again")
    _add(engine, leg)
    return WorkerCall(engine, workspace, reservation, caller, leg)


def ring_and_connect(call: WorkerCall, how: str, seconds: int) -> None:
    """Ring the Worker; answering connects the caller and accepts the Reservation.

    Args:
        call: The call.
        how: Name of the instruction.
        seconds: Maximum ringing time.
    """

    def on_answer() -> None:
        call_tasks.connect(call.engine, call.caller, call.leg, how)
        execution.stop_ringing(call.engine, call.caller)

    call.engine.cancel_timer("reservation", call.reservation.sid)
    _ring(call, seconds, on_answer, lambda: _end_unanswered(call))


def ring_and_run(call: WorkerCall, url: str, seconds: int, *, accept: bool) -> None:
    """Ring the Worker; after the Worker answers, the leg executes its own document.

    Args:
        call: The call.
        url: URL of the document.
        seconds: Maximum ringing time.
        accept: Whether answering accepts the Reservation.
    """

    def on_answer() -> None:
        call.leg.status = "in-progress"
        call.engine.record_step(call.leg, "picked up")
        if accept:
            assignments.accept(call.engine, call.workspace, call.reservation)
        execution.fetch(call.engine, call.leg, url)

    def on_no_answer() -> None:
        if accept:
            _end_unanswered(call)

    _ring(call, seconds, on_answer, on_no_answer)


def _ring(
    call: WorkerCall, seconds: int, on_answer: Callable[[], None], on_no_answer: Callable[[], None]
) -> None:
    engine, leg, worker_name = call.engine, call.leg, call.reservation.worker_name

    def answer() -> None:
        leg.on_no_answer = None
        on_answer()

    def give_up() -> None:
        leg.on_no_answer = None
        execution.end(engine, leg, "no answer", "no-answer")
        on_no_answer()

    engine.record_step(leg, "ringing", at_worker=worker_name, called=leg.called)
    engine.record_step(call.caller, "ringing the Worker", worker=worker_name, with_call=leg.sid)
    answer_seconds = engine.settings.answer_seconds
    if call.caller.worker_answers and not answer_seconds:
        on_answer()
        return
    leg.on_no_answer = give_up
    if call.caller.worker_answers and answer_seconds < seconds:
        engine.set_timer("ring", leg.sid, engine.now() + answer_seconds, answer)
    else:
        engine.set_timer("ring", leg.sid, engine.now() + seconds, give_up)


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


def _add(engine: Engine, call: Call) -> None:
    """Add a call; if there are too many calls, drop the oldest that has ended."""
    engine.calls[call.sid] = call
    if len(engine.calls) > _MAX_CALLS:
        oldest = next((ended for ended in engine.calls.values() if ended.has_ended), None)
        if oldest:
            del engine.calls[oldest.sid]
