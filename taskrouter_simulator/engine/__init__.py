"""TaskRouter's rules, without I/O: operations change the state and emit effects.

Pass a clock and an effect handler to `start`, then call the rules as plain functions, for example
`tasks.create(engine, workspace, ...)`. Timers fire only in the clock's `advance` and `run_due`.
"""

from collections.abc import Callable

from taskrouter_simulator.clock import Clock
from taskrouter_simulator.engine import routing
from taskrouter_simulator.engine.calls import call_control
from taskrouter_simulator.engine.core import Effect, Engine
from taskrouter_simulator.identifiers import derived_hex
from taskrouter_simulator.settings import Settings


def start(settings: Settings, clock: Clock, emit: Callable[[Effect], None]) -> Engine:
    """Create an engine without a Workspace.

    Args:
        settings: The simulator's settings.
        clock: Time and timers; call its `run_due` after an operation to route Tasks.
        emit: Called with each effect; must not call the engine's operations.
    """
    return Engine(
        account_sid="AC" + derived_hex("account"),
        settings=settings,
        clock=clock,
        emit=emit,
        route=routing.route,
        on_task_removed=call_control.remove_from_queue,
        on_reservation_changed=call_control.update_calls,
    )
