"""Phone calls as plain data; the package `calls` contains the rules."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from taskrouter_simulator.engine.model import Resource

API_VERSION = "2010-04-01"
ENDED = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
_PARTIES = ("from", "to", "caller", "called")
_LOCATION = ("city", "state", "zip", "country")


@dataclass(frozen=True)
class Verb:
    """A TwiML element; `text` includes the text of its descendants."""

    name: str
    attributes: dict[str, str]
    text: str
    children: tuple["Verb", ...]

    def number(self, name: str, default: int, maximum: int) -> int:
        """Return an attribute as an integer from 0 to `maximum`, or the default."""
        text = self.attributes.get(name, "")
        is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(maximum))
        return int(text) if is_number and int(text) <= maximum else default

    def child(self, *names: str) -> "Verb | None":
        """Return the first child with one of the names, or None."""
        return next((child for child in self.children if child.name in names), None)


@dataclass(frozen=True)
class QueuePosition:
    """A call's entry in a queue.

    Attributes:
        since: Time at which the call entered the queue.
        name: The queue's name or the Workflow's SID.
        action: URL requested when the call leaves the queue; "" for none.
    """

    since: float
    name: str
    action: str = ""


@dataclass(kw_only=True, eq=False)
class Call(Resource):
    """A caller's call leg, or a leg placed to a Worker.

    Attributes:
        caller: Number or client of the calling party.
        called: Number or client of the called party.
        direction: "inbound", or "outbound-api" for a Worker's leg.
        url: URL of the current document; relative URLs in the document are resolved
            against it.
        status: Twilio's `CallStatus`.
        keys: Keys that the caller presses, one entry for each `<Gather>`; None for no key.
        worker_answers: Whether Workers answer when their phones ring for this call.
        verbs: Verbs of the document that have not been executed.
        requests: Number of documents requested; responses to earlier requests are ignored.
        requests_without_pause: Number of documents requested since the latest `<Pause>` or
            `<Gather>` timeout.
        is_fetching: Whether the latest request is still in progress.
        queued: Position in a queue; None if the call is not queued.
        partner_sid: SID of the connected call.
        is_in_conference: Caller's leg only: whether a conference instruction connected the leg.
        workspace_sid: Workspace of the Task or Reservation.
        task_sid: Task created by `<Enqueue>`.
        reservation_sid: Worker's leg only: the Reservation for which the leg was placed.
        caller_sid: Worker's leg only: the call for which the leg was placed.
        on_no_answer: Worker's leg only, while it rings: called if the Worker does not answer.
        steps: Steps of the call so far, oldest first.
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
    requests_without_pause: int = 0
    is_fetching: bool = False
    queued: QueuePosition | None = None
    partner_sid: str | None = None
    is_in_conference: bool = False
    workspace_sid: str = ""
    task_sid: str = ""
    reservation_sid: str = ""
    caller_sid: str = ""
    on_no_answer: Callable[[], None] | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)

    @property
    def has_ended(self) -> bool:
        """Whether the call has ended."""
        return self.status in ENDED

    def attributes(self, account_sid: str) -> dict[str, str]:
        """Return the attributes that Twilio adds to the Task of a call.

        The list is from https://www.twilio.com/docs/taskrouter/twiml-queue-calls. Locations are
        empty because the simulator does not know the location of a number.
        """
        return {
            **{f"{party}_{part}": "" for party in _PARTIES for part in _LOCATION},
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
        """Return the parameters of a TwiML request: the attributes with CamelCase names."""
        attributes = self.attributes(account_sid)
        return {re.sub("(^|_)(.)", _capitalize, name): value for name, value in attributes.items()}


def _capitalize(match: re.Match[str]) -> str:
    return match.group(2).upper()
