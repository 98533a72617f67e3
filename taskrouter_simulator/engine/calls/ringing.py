"""Rings simulated phones until the called party answers or declines, or the ringing times out."""

from functools import partial

from taskrouter_simulator.continuations import Continuation, continuation
from taskrouter_simulator.engine.call_model import Call
from taskrouter_simulator.engine.calls import status
from taskrouter_simulator.engine.core import Engine


def ring(
    engine: Engine,
    leg: Call,
    *,
    answer_delay: float | None,
    seconds: int,
    on_answer: Continuation,
    on_no_answer: Continuation,
) -> None:
    """Ring the phone of a leg.

    Args:
        engine: The engine.
        leg: The leg.
        answer_delay: Seconds until the party answers; None if the party never answers.
        seconds: Maximum ringing time.
        on_answer: Called when the party answers.
        on_no_answer: Called if the party declines or does not answer in time. It must end the leg.
    """
    status.report(engine, leg, "initiated", "initiated")
    status.report(engine, leg, "ringing")
    if answer_delay == 0:
        _answer(engine, leg, on_answer)
        return
    leg.on_answer = partial(_answer, engine, leg, on_answer)
    leg.on_no_answer = partial(_give_up, leg, on_no_answer)
    if answer_delay is not None and answer_delay < seconds:
        engine.set_timer("ring", leg.sid, engine.now() + answer_delay, leg.on_answer)
    else:
        engine.set_timer("ring", leg.sid, engine.now() + seconds, leg.on_no_answer)


@continuation
def _answer(engine: Engine, leg: Call, on_answer: Continuation) -> None:
    leg.on_answer = leg.on_no_answer = None
    engine.cancel_timer("ring", leg.sid)
    leg.answered = engine.now()
    leg.status = "in-progress"
    status.report(engine, leg, "answered")
    on_answer()


@continuation
def _give_up(leg: Call, on_no_answer: Continuation) -> None:
    leg.on_answer = leg.on_no_answer = None
    on_no_answer()
