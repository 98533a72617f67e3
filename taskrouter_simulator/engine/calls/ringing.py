"""A Worker's phone: it rings for a caller who waits, for as long as the Reservation is pending.

While a Worker is being connected the Reservation's time-out is paused, as Twilio's help center
tells (https://support.twilio.com/hc/en-us/articles/42786996187419). What becomes of a Reservation
whose Worker does not pick up, nobody tells: a setting.
"""

from collections.abc import Callable
from dataclasses import dataclass

from taskrouter_simulator.engine import assignments, offers
from taskrouter_simulator.engine.calls import bridges, lines
from taskrouter_simulator.engine.calls.model import Call, keep, ringing
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Reservation, Workspace

RING_SECONDS = 60


@dataclass(frozen=True)
class Legs:
    """A waiting caller and the leg that is placed to the Worker who was reserved for it."""

    engine: Engine
    workspace: Workspace
    reservation: Reservation
    caller: Call
    worker: Call


def legs(
    engine: Engine,
    workspace: Workspace,
    reservation: Reservation,
    *,
    call_sid: object,
    to: str,
    caller_id: str,
) -> Legs | None:
    """A leg for the Worker, not yet ringing; None where nobody here has called.

    Args:
        engine: the engine.
        workspace: where.
        reservation: the offer.
        call_sid: of the caller, as the Task's attributes tell.
        to: whom to call.
        caller_id: as whom.

    Raises:
        BadRequest: the caller does not wait, or not any more.
    """
    caller = engine.calls.get(str(call_sid))
    if caller is None:
        return None
    if caller.waiting is None or caller.partner_sid:
        raise BadRequest(f"Call {caller.sid} does not wait in a queue")
    worker = Call(
        **vars(engine.stamp("CA")),
        caller=caller_id,
        called=to,
        direction="outbound-api",
        url="",
        workspace_sid=workspace.sid,
        reservation_sid=reservation.sid,
        caller_sid=caller.sid,
    )
    _stop_ringing_for(engine, reservation, "the Worker is called anew")
    keep(engine, worker)
    return Legs(engine, workspace, reservation, caller, worker)


def connect(pair: Legs, how: str, seconds: int) -> None:
    """Ring the Worker, and connect caller and Worker; this accepts the Reservation.

    Args:
        pair: the two legs.
        how: the instruction.
        seconds: how long it may ring.
    """

    def answered() -> None:
        bridges.join(pair.engine, pair.caller, pair.worker, how)
        lines.stop_ringing(pair.engine, pair.caller)

    pair.engine.disarm("reservation", pair.reservation.sid)
    _ring(pair, seconds, answered, lambda: _unanswered(pair))


def call(pair: Legs, url: str, seconds: int, *, accept: bool) -> None:
    """Ring the Worker, whose leg then does what its own document says.

    Args:
        pair: the two legs.
        url: of the document.
        seconds: how long it may ring.
        accept: whether picking up accepts the Reservation.
    """

    def answered() -> None:
        pair.worker.status = "in-progress"
        pair.worker.note(pair.engine, "picked up")
        if accept:
            assignments.accept(pair.engine, pair.workspace, pair.reservation)
        lines.fetch(pair.engine, pair.worker, url)

    def unanswered() -> None:
        if accept:
            _unanswered(pair)

    _ring(pair, seconds, answered, unanswered)


def offer_over(engine: Engine, reservation: Reservation) -> None:
    """A Reservation is not pending any more: no phone rings for it."""
    _stop_ringing_for(engine, reservation, "the Reservation is over")


def _stop_ringing_for(engine: Engine, reservation: Reservation, why: str) -> None:
    for leg in ringing(engine):
        if leg.reservation_sid == reservation.sid:
            lines.call_off(engine, leg, why)


def _ring(
    pair: Legs, seconds: int, answered: Callable[[], None], unanswered: Callable[[], None]
) -> None:
    engine, worker = pair.engine, pair.worker

    def pick_up() -> None:
        worker.declined = None
        answered()

    def let_ring() -> None:
        worker.declined = None
        lines.end(engine, worker, "nobody picked up", "no-answer")
        unanswered()

    worker.note(engine, "ringing", at_worker=pair.reservation.worker_name, called=worker.called)
    pair.caller.note(
        engine, "ringing the Worker", worker=pair.reservation.worker_name, with_call=worker.sid
    )
    takes = engine.settings.answer_seconds
    if pair.caller.worker_answers and not takes:
        answered()
        return
    worker.declined = let_ring
    if pair.caller.worker_answers and takes < seconds:
        engine.arm("ring", worker.sid, engine.now() + takes, pick_up)
    else:
        engine.arm("ring", worker.sid, engine.now() + seconds, let_ring)


def _unanswered(pair: Legs) -> None:
    engine, workspace, reservation = pair.engine, pair.workspace, pair.reservation
    match engine.settings.unanswered_call:
        case "canceled":
            offers.give_up(engine, workspace, reservation)
        case "rejected":
            offers.reject(engine, workspace, reservation)
        case "timeout":
            offers.time_out(engine, workspace, reservation)
        case _:
            offers.arm(engine, workspace, reservation)
