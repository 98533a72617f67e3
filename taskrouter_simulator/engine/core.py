"""The engine: the state, the time, and the way out for what is to be done elsewhere.

A step of the engine is a plain function call: it never waits, so no other step sees it half done.
What has to go over a network it hands to `emit` as an effect, and whoever runs the engine carries
that out.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from taskrouter_simulator.clock import Clock, Timer
from taskrouter_simulator.engine.comparisons import Comparisons
from taskrouter_simulator.engine.errors import NotFound
from taskrouter_simulator.engine.expressions import Test, parse
from taskrouter_simulator.engine.model import Event, Reservation, Resource, Task, Workspace
from taskrouter_simulator.identifiers import new_sid
from taskrouter_simulator.settings import Settings

if TYPE_CHECKING:
    from taskrouter_simulator.engine.calls.model import Call


@dataclass(frozen=True)
class AssignmentCallback:
    """To post: a Reservation was created. The answer goes to `instructions.answered`."""

    workspace_sid: str
    reservation_sid: str
    url: str
    fallback_url: str
    parameters: dict[str, str]


@dataclass(frozen=True)
class EventCallback:
    """To post: something happened that the Workspace's event callback asks for."""

    url: str
    event: Event


@dataclass(frozen=True)
class FetchTwiml:
    """To post: a call needs its next document. The answer goes to `calls.lines.heard`."""

    call_sid: str
    request: int
    url: str
    parameters: dict[str, str]


@dataclass(frozen=True)
class CallStep:
    """Something happened in a call."""

    call_sid: str
    step: str
    more: dict[str, Any]


@dataclass(frozen=True)
class Alert:
    """An error or warning as Twilio's debugger would show it."""

    code: int
    message: str
    level: str
    about: dict[str, str]


Effect = AssignmentCallback | EventCallback | FetchTwiml | CallStep | Alert


@dataclass(kw_only=True)
class Engine:
    """State and time, handed to every rule.

    Args:
        account_sid: the one account.
        settings: the named defaults.
        clock: time and timers.
        emit: takes each effect as it arises; must not call back into the engine.
        route: runs the routing of a Workspace; put in by `routing`.
        task_gone: told of every Task that is canceled or deleted; put in by `calls.orders`.
        offer_over: told of every Reservation that is pending no more; put in by `calls.ringing`.
    """

    account_sid: str
    settings: Settings
    clock: Clock
    emit: Callable[[Effect], None]
    route: Callable[["Engine", Workspace], None]
    task_gone: Callable[["Engine", Workspace, Task], None]
    offer_over: Callable[["Engine", Reservation], None]
    workspaces: dict[str, Workspace] = field(default_factory=dict)
    calls: "dict[str, Call]" = field(default_factory=dict)
    _timers: dict[tuple[str, str], Timer] = field(default_factory=dict)
    _orders: "itertools.count[int]" = field(default_factory=itertools.count)

    @cached_property
    def _comparisons(self) -> Comparisons:
        return Comparisons(self.settings.nulls_are_values, self.settings.mixed_types)

    def now(self) -> float:
        """Seconds since the epoch."""
        return self.clock.now()

    def since(self, moment: float) -> float:
        """Seconds since a moment, to the millisecond: nine seconds, not 8.9999998."""
        return round(self.now() - moment, 3)

    def stamp(self, prefix: str, sid: str | None = None) -> Resource:
        """What a new resource has in common with all others."""
        now = self.now()
        return Resource(
            sid=sid or new_sid(prefix), created=now, updated=now, order=next(self._orders)
        )

    def touch(self, resource: Resource) -> None:
        """Note that the resource changed: its date and its version."""
        resource.updated = self.now()
        resource.version += 1

    def workspace(self, sid: str) -> Workspace:
        """The Workspace of that SID.

        Raises:
            NotFound: there is none.
        """
        if sid not in self.workspaces:
            raise NotFound(f"/Workspaces/{sid}")
        return self.workspaces[sid]

    def test(self, expression: str) -> Test:
        """An expression compiled as the settings say; it was checked when it came in."""
        return parse(expression, self._comparisons)

    def arm(self, kind: str, sid: str, when: float, action: Callable[[], None]) -> None:
        """Set the one timer of that kind that a resource has, in place of the last."""
        self.disarm(kind, sid)
        self._timers[kind, sid] = self.clock.call_at(when, action)

    def disarm(self, kind: str, sid: str) -> None:
        """Take the timer away, if there is one."""
        if timer := self._timers.pop((kind, sid), None):
            timer.cancel()

    def wake(self, workspace: Workspace, delay: float | None = None) -> None:
        """Have the Workspace routed, after `delay` seconds (default: the routing delay)."""
        when = self.now() + (self.settings.routing_delay if delay is None else delay)
        planned = self._timers.get(("routing", workspace.sid))
        if planned is None or planned.when > when:
            self.arm("routing", workspace.sid, when, lambda: self._route(workspace))

    def _route(self, workspace: Workspace) -> None:
        self._timers.pop(("routing", workspace.sid), None)
        if workspace.sid in self.workspaces:
            self.route(self, workspace)

    def alert(self, code: int, message: str, about: dict[str, str], level: str = "error") -> None:
        """Raise an alert; `about` names the SIDs and URLs that it concerns."""
        self.emit(Alert(code, message, level, about))
