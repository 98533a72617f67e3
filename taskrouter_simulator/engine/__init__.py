"""TaskRouter's rules: state and time in, effects out, no I/O.

Give `start` a clock and a function that takes effects, then call the rules as plain functions:
`tasks.create(engine, workspace, ...)`. Nothing happens between two calls but what
`clock.advance` fires.
"""

from collections.abc import Callable

from taskrouter_simulator.clock import Clock
from taskrouter_simulator.engine import routing
from taskrouter_simulator.engine.calls import orders, ringing
from taskrouter_simulator.engine.core import Effect, Engine
from taskrouter_simulator.identifiers import made_up
from taskrouter_simulator.settings import Settings


def start(settings: Settings, clock: Clock, emit: Callable[[Effect], None]) -> Engine:
    """An engine with no Workspace.

    Args:
        settings: the named defaults.
        clock: time and timers; call its `run_due` after a step to have routing happen.
        emit: takes each effect as it arises; must not call back into the engine.
    """
    return Engine(
        account_sid="AC" + made_up("account"),
        settings=settings,
        clock=clock,
        emit=emit,
        route=routing.route,
        task_gone=orders.task_gone,
        offer_over=ringing.offer_over,
    )
