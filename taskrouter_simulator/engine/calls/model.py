"""A call, and what happened in it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from taskrouter_simulator.engine.calls.twiml import Verb
from taskrouter_simulator.engine.core import CallStep, Engine
from taskrouter_simulator.engine.model import Reservation, Resource, Task, Workspace

API_VERSION = "2010-04-01"
_KEPT = 1000
ENDED = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
_PLACES = ("from", "to", "caller", "called")
_PLACE = ("city", "state", "zip", "country")


@dataclass(frozen=True)
class Waiting:
    """A call's place in a queue: since when, and where it goes on when it leaves."""

    since: float
    name: str
    action: str = ""


@dataclass(kw_only=True, eq=False)
class Call(Resource):
    """One leg: a caller's, or the one that TaskRouter places to a Worker.

    Attributes:
        caller: who calls, a number or a client.
        called: who is called.
        direction: "inbound", or "outbound-api" for a Worker's leg.
        url: of the document that is carried out; relative URLs in it begin there.
        status: as Twilio's `CallStatus`.
        keys: what is pressed, one for each `<Gather>`; None is nothing.
        worker_answers: whether the Worker that this call is given to picks up.
        verbs: what is left of the document.
        requests: how many documents were asked for; the answer to an earlier one is not heard.
        at_one_go: how many of them without a wait in between.
        is_asking: whether the last of them has not come.
        waiting: its place in a queue, if it is in one.
        partner_sid: the call that it is connected with.
        workspace_sid, task_sid: of the Task that `<Enqueue>` made of it.
        reservation_sid: of a Worker's leg, the Reservation that it was placed for.
        caller_sid: of a Worker's leg, the call that it was placed for.
        declined: of a Worker's leg that rings, what happens if nobody picks up.
        steps: what happened, oldest first.
    """

    caller: str
    called: str
    direction: str
    url: str
    status: str = "ringing"
    keys: list[str | None] = field(default_factory=list)
    worker_answers: bool = True
    verbs: list[Verb] = field(default_factory=list)
    requests: int = 0
    at_one_go: int = 0
    is_asking: bool = False
    waiting: Waiting | None = None
    partner_sid: str | None = None
    workspace_sid: str = ""
    task_sid: str = ""
    reservation_sid: str = ""
    caller_sid: str = ""
    declined: Callable[[], None] | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)

    @property
    def has_ended(self) -> bool:
        """Whether it is over."""
        return self.status in ENDED

    def note(self, engine: Engine, step: str, **more: Any) -> None:
        """Write down what happened, here and in the log."""
        engine.touch(self)
        self.steps.append({"at": engine.now(), "step": step, **more})
        engine.emit(CallStep(self.sid, step, more))

    def attributes(self, account_sid: str) -> dict[str, str]:
        """What Twilio puts into the attributes of a call's Task.

        https://www.twilio.com/docs/taskrouter/twiml-queue-calls lists them; where the numbers
        belong is not known here.
        """
        return {
            **{f"{one}_{part}": "" for one in _PLACES for part in _PLACE},
            "call_sid": self.sid,
            "account_sid": account_sid,
            "api_version": API_VERSION,
            "call_status": self.status,
            "direction": self.direction,
            "from": self.caller,
            "caller": self.caller,
            "to": self.called,
            "called": self.called,
        }

    def parameters(self, account_sid: str) -> dict[str, str]:
        """What Twilio's requests for TwiML say of the call: the same, in another spelling."""
        attributes = self.attributes(account_sid)
        return {re.sub("(^|_)(.)", _capital, name): value for name, value in attributes.items()}


def _capital(found: re.Match[str]) -> str:
    return found.group(2).upper()


def task_of(engine: Engine, call: Call) -> tuple[Workspace, Task] | None:
    """The Task that the call became, if it is still there."""
    workspace = engine.workspaces.get(call.workspace_sid)
    task = workspace.tasks.get(call.task_sid) if workspace else None
    return (workspace, task) if workspace and task else None


def reservation_of(engine: Engine, call: Call) -> tuple[Workspace, Reservation] | None:
    """The Reservation that a Worker's leg was placed for, if it is still there."""
    workspace = engine.workspaces.get(call.workspace_sid)
    reservation = workspace.reservations.get(call.reservation_sid) if workspace else None
    return (workspace, reservation) if workspace and reservation else None


def ringing(engine: Engine) -> list[Call]:
    """The Workers' legs that ring."""
    return [one for one in engine.calls.values() if one.declined]


def keep(engine: Engine, one: Call) -> None:
    """Keep the call, in place of the oldest that has ended if there are too many."""
    engine.calls[one.sid] = one
    if len(engine.calls) > _KEPT:
        oldest = next((old for old in engine.calls.values() if old.has_ended), None)
        if oldest:
            del engine.calls[oldest.sid]
