"""Two engines that execute the same operations, one with indexes, one with `reference_routing`."""

import json
import re

from taskrouter_simulator.clock import Clock
from taskrouter_simulator.engine import start, workers, workspaces
from taskrouter_simulator.engine.core import AssignmentCallback, EventCallback
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.settings import Settings
from tests.simulator import reference_routing

START = 1_700_000_000.0
"""22:13:20 UTC on a Tuesday."""


class Side:
    """One of the two engines, with a Workspace."""

    def __init__(self, settings, *, multi, uses_reference=False):
        self.effects = []
        self.clock = Clock(lambda: START)
        self.engine = start(settings, self.clock, self.effects.append)
        if uses_reference:
            self.engine.route = reference_routing.route
        self.workspace = workspaces.create(
            self.engine, friendly_name="Twin", multi_task_enabled=multi
        )
        self.workspace.event_callback_url = "http://127.0.0.1/events"
        self.sids = {}

    def pick(self, collection, number):
        items = list(getattr(self.workspace, collection).values())
        return items[number % len(items)] if items else None

    def take_effects(self):
        """Return the effects since the last call, and the timers, with numbers instead of SIDs."""
        effects = [self._describe(effect) for effect in self.effects]
        self.effects.clear()
        timers = sorted((self._name(sid), kind, timer.when)
                        for (kind, sid), timer in self.engine.timers.items())  # fmt: skip
        return effects, timers

    def _describe(self, effect):
        if isinstance(effect, EventCallback):
            content = {"type": effect.event.event_type, **effect.event.parameters}
        elif isinstance(effect, AssignmentCallback):
            content = {"assignment": effect.url, **effect.parameters}
        else:
            content = vars(effect)
        return self._name(json.dumps(content))

    def _name(self, text):
        """Replace each SID with its prefix and a number, in order of first appearance."""
        return re.sub(
            "[A-Z]{2}[0-9a-f]{32}",
            lambda match: self.sids.setdefault(match[0], f"{match[0][:2]}{len(self.sids)}"),
            text,
        )


class Twins:
    """Executes each operation in both engines, and compares the effects."""

    def __init__(self, *, multi=True, **options):
        settings = Settings(**options)
        self.sides = [
            Side(settings, multi=multi),
            Side(settings, multi=multi, uses_reference=True),
        ]

    def do(self, operation):
        """Call `operation` with each side; check that outcomes, effects and timers are equal."""
        outcomes = []
        for side in self.sides:
            try:
                operation(side)
                outcome = "done"
            except BadRequest as error:
                outcome = side._name(str(error))
            side.clock.run_due()
            outcomes.append((outcome, *side.take_effects()))
        assert outcomes[0] == outcomes[1]
        return outcomes[0][0]

    def add_worker(self, name, activity="Idle", **attributes):
        def add(side):
            workers.create(
                side.engine,
                side.workspace,
                friendly_name=name,
                attributes=json.dumps(attributes),
                activity_sid=side.workspace.activity(activity).sid,
            )

        return self.do(add)
