"""The engine's state, its timers, and the effects that it emits.

Each operation is a synchronous function call, so no operation observes the intermediate state of
another operation. The exception is a long routing pass, which can pause between Tasks. Network
requests are emitted as effects, which the owner of the engine executes.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from taskrouter_simulator.clock import Clock, Timer
from taskrouter_simulator.continuations import Continuation
from taskrouter_simulator.engine.call_model import Call, Conference
from taskrouter_simulator.engine.errors import NotFound
from taskrouter_simulator.engine.expressions import Comparisons, Predicate, parse
from taskrouter_simulator.engine.model import Event, Reservation, Resource, Task, Workspace
from taskrouter_simulator.identifiers import derived_hex
from taskrouter_simulator.settings import Settings


@dataclass(frozen=True)
class AssignmentCallback:
    """Post an assignment callback.

    `instructions.handle_response` receives the response.
    """

    workspace_sid: str
    reservation_sid: str
    url: str
    fallback_url: str
    parameters: dict[str, str]


@dataclass(frozen=True)
class EventCallback:
    """Post an event to the Workspace's event callback URL."""

    url: str
    event: Event


@dataclass(frozen=True)
class FetchTwiml:
    """Request a call's next document.

    `receive_document` or `receive_failure` in `calls.execution` receives the result.
    """

    call_sid: str
    request: int
    url: str
    parameters: dict[str, str]


@dataclass(frozen=True)
class StatusCallback:
    """Report the progress of a call or of a conference; the response has no effect on calls."""

    method: str
    url: str
    parameters: dict[str, str]


@dataclass(frozen=True)
class CallStep:
    """Log a step of a call."""

    call_sid: str
    step: str
    details: dict[str, Any]


@dataclass(frozen=True)
class Alert:
    """Log an error or warning as Twilio's debugger would; `details` are SIDs and URLs."""

    code: int
    message: str
    level: str
    details: dict[str, str]


NOT_STORED = frozenset(
    {"account_sid", "settings", "clock", "emit", "route", "on_task_removed"}
    | {"on_reservation_changed", "on_event", "changes", "indexes", "timers", "_comparisons"}
)
"""The fields of the engine that a snapshot does not contain.

The engine's owner sets these fields, or they are derived from other fields. Timers are stored
separately.
"""

Effect = AssignmentCallback | EventCallback | FetchTwiml | StatusCallback | CallStep | Alert


@dataclass(kw_only=True)
class Engine:
    """The state passed to every operation.

    Every field that is not in `NOT_STORED` is part of a snapshot.

    Args:
        account_sid: SID of the only account.
        settings: The simulator's settings.
        clock: Time and timers.
        emit: Called with each effect; must not call the engine's operations.
        route: Routes the Tasks of a Workspace; a `continuation`.
        on_task_removed: Called with each Task that is canceled or deleted, but not with a closed
            Task that expires.
        on_reservation_changed: Called with each Reservation whose status changes while calls
            exist, or whose Workspace is deleted.
        changes: The changed resources that the indexes do not reflect yet, by SID.
        indexes: The index of each Workspace, derived from other fields; see `find_index`.
        on_event: Called with each event and its Workspace, whether or not the Workspace subscribes
            to the event; must not call the engine's operations.
    """

    account_sid: str
    settings: Settings
    clock: Clock
    emit: Callable[[Effect], None]
    route: Callable[["Engine", Workspace], None]
    on_task_removed: Callable[["Engine", Workspace, Task], None]
    on_reservation_changed: Callable[["Engine", Reservation], None]
    on_event: Callable[["Engine", Workspace, Event], None] = lambda _engine, _workspace, _event: (
        None
    )
    workspaces: dict[str, Workspace] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    changes: dict[str, Resource] = field(default_factory=dict)
    indexes: dict[str, Any] = field(default_factory=dict)
    conferences: dict[str, Conference] = field(default_factory=dict)
    sids_created: int = 0
    resources_created: int = 0
    timers: dict[tuple[str, str], Timer] = field(default_factory=dict)
    _comparisons: Comparisons = field(init=False)

    def __post_init__(self) -> None:
        self._comparisons = Comparisons(self.settings.nulls_are_values, self.settings.mixed_types)

    def now(self) -> float:
        """Return the current time in seconds since the epoch."""
        return self.clock.now()

    def seconds_since(self, moment: float) -> float:
        """Return the seconds since a moment, rounded to milliseconds (8.9999998 becomes 9.0)."""
        return round(self.now() - moment, 3)

    def new_resource(self, prefix: str, sid: str | None = None) -> Resource:
        """Return the common fields of a new resource.

        Args:
            prefix: Two-letter prefix of the SID, such as "WT".
            sid: A fixed SID; None for a new SID.
        """
        now, sequence = self.now(), self.resources_created
        self.resources_created += 1
        return Resource(
            sid=sid or self.new_sid(prefix), created=now, updated=now, sequence=sequence
        )

    def new_sid(self, prefix: str) -> str:
        """Return a new SID: the prefix and 32 hexadecimal digits.

        Args:
            prefix: Twilio's two-letter prefix for the type of resource, such as "WT".
        """
        self.sids_created += 1
        seed = self.settings.seed
        name = f"seed/{seed}/{self.sids_created}"
        return prefix + (derived_hex(name) if seed else secrets.token_hex(16))

    def touch(self, resource: Resource) -> None:
        """Update the timestamp and the version of a changed resource."""
        resource.updated = self.now()
        resource.version += 1
        self.note_change(resource)

    def note_change(self, resource: Resource) -> None:
        """Note a change that may affect routing, for the next routing pass."""
        self.changes[resource.sid] = resource

    def workspace(self, sid: str) -> Workspace:
        """Return the Workspace with the given SID.

        Raises:
            NotFound: No Workspace has this SID.
        """
        if sid not in self.workspaces:
            raise NotFound(f"/Workspaces/{sid}")
        return self.workspaces[sid]

    def compile(self, expression: str) -> Predicate:
        """Compile an expression with the configured comparison rules.

        Args:
            expression: Text of the expression.

        Raises:
            ExpressionError: The text is not an expression.
        """
        return parse(expression, self._comparisons)

    def set_timer(self, kind: str, sid: str, when: float, action: Continuation) -> None:
        """Set a resource's timer, replacing any existing timer of the same kind."""
        self.cancel_timer(kind, sid)
        self.timers[kind, sid] = self.clock.call_at(when, action)

    def cancel_timer(self, kind: str, sid: str) -> None:
        """Cancel a resource's timer of the given kind, if set."""
        if timer := self.timers.pop((kind, sid), None):
            timer.cancel()

    def schedule_routing(self, workspace: Workspace, when: float | None = None) -> None:
        """Schedule a routing pass, unless a pass is already scheduled for `when` or earlier.

        Args:
            workspace: The Workspace.
            when: Time of the pass, in seconds since the epoch; None for `routing_delay` from now.
        """
        when = self.now() + self.settings.routing_delay if when is None else when
        scheduled = self.timers.get(("routing", workspace.sid))
        if scheduled is None or scheduled.when > when:
            self.set_timer("routing", workspace.sid, when, partial(self.route, self, workspace))

    def alert(self, code: int, message: str, details: dict[str, str], level: str = "error") -> None:
        """Emit an alert; `details` are the SIDs and URLs involved."""
        self.emit(Alert(code, message, level, details))

    def record_step(self, call: Call, step: str, **details: Any) -> None:
        """Append a step to a call's history, and log the step."""
        self.touch(call)
        call.steps.append({"at": self.now(), "step": step, **details})
        self.emit(CallStep(call.sid, step, details))
