"""Phone calls as plain data; the `calls` package contains the rules."""

import re
from dataclasses import dataclass, field
from typing import Any

from taskrouter_simulator.continuations import Continuation
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
class StatusSubscription:
    """The status callback of a call or of a conference.

    Attributes:
        url: URL of the callback.
        method: "GET" or "POST".
        events: Names of the events to report, such as "completed" or "join".
        parameters: Parameters that every callback contains in addition to Twilio's parameters.
    """

    url: str
    method: str
    events: frozenset[str]
    parameters: dict[str, str] = field(default_factory=dict)


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
    """A caller's call leg, or a leg placed to a Worker, a supervisor or a dialed phone.

    Attributes:
        caller: Number or client of the calling party.
        called: Number or client of the called party.
        direction: "inbound"; "outbound-api" for a leg to a Worker or supervisor; "outbound-dial"
            for a leg placed by `<Dial>`.
        url: URL of the current document; relative URLs in the document are resolved
            against it.
        status: Twilio's `CallStatus`.
        keys: Keys that the caller presses, one entry for each `<Gather>`; None for no key.
        worker_answers: Whether Workers and dialed parties answer when their phones ring for
            this call.
        verbs: Verbs of the document that have not been executed.
        requests: Number of documents requested; only the response to the latest request is used.
        requests_without_pause: Number of documents requested since the latest `<Pause>` or
            `<Gather>` timeout.
        is_fetching: Whether the latest request is still in progress.
        queued: Entry in a queue; None if the call is not queued.
        partner_sid: SID of the call at the other end, if any; None in a conference.
        conference_sid: SID of the conference that the call is in; "" for none.
        connected_by: Name of the instruction or verb that connected the call with a Worker or a
            caller; "" if the call has not been connected.
        dial: The `<Dial>` that is in progress, if any.
        answered: Time at which the called party or, for a queued call, a Worker answered.
        status_callback: Subscription to the progress of the call, if any.
        events_sent: Number of status callbacks sent.
        workspace_sid: Workspace of the Task or Reservation.
        task_sid: Task created by `<Enqueue>`.
        reservation_sid: Worker's leg only: the Reservation for which the leg was placed.
        caller_sid: Worker's leg only: the call for which the leg was placed.
        on_answer: Function to run when the called party answers; set while the leg rings.
        on_no_answer: Function to run if nobody answers; set while the leg rings.
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
    conference_sid: str = ""
    connected_by: str = ""
    dial: Verb | None = None
    answered: float | None = None
    status_callback: StatusSubscription | None = None
    events_sent: int = 0
    workspace_sid: str = ""
    task_sid: str = ""
    reservation_sid: str = ""
    caller_sid: str = ""
    on_answer: Continuation | None = None
    on_no_answer: Continuation | None = None
    steps: list[dict[str, Any]] = field(default_factory=list)

    @property
    def has_ended(self) -> bool:
        """Whether the call has ended."""
        return self.status in ENDED

    @property
    def is_connected(self) -> bool:
        """Whether the call is connected to another call or is in a conference."""
        return bool(self.partner_sid or self.conference_sid)

    @property
    def is_waiting(self) -> bool:
        """Whether the call is waiting in a queue."""
        return self.queued is not None and not self.is_connected

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


@dataclass(kw_only=True, eq=False)
class Participant:
    """A call in a conference.

    Attributes:
        call_sid: SID of the call, which may be unknown to the simulator.
        role: "customer", "worker" or "supervisor".
        muted: Whether the other participants cannot hear this participant.
        hold: Whether the participant is on hold.
        coaching: Whether only the Worker can hear this participant.
        start_conference_on_enter: Whether the conference starts when the participant joins.
        end_conference_on_exit: Whether the conference ends when the participant leaves.
    """

    call_sid: str
    role: str
    muted: bool = False
    hold: bool = False
    coaching: bool = False
    start_conference_on_enter: bool = True
    end_conference_on_exit: bool = False


@dataclass(kw_only=True, eq=False)
class Conference(Resource):
    """A conference, which is named after its Task.

    Attributes:
        task_sid: SID of the Task.
        subscription: Subscription to the conference's events, if any.
        has_started: Whether the conference has started.
        has_ended: Whether the conference has ended.
        events_sent: Number of status callbacks sent.
        participants: The participants in the order of joining, by the SIDs of their calls.
    """

    task_sid: str
    subscription: StatusSubscription | None = None
    has_started: bool = False
    has_ended: bool = False
    events_sent: int = 0
    participants: dict[str, Participant] = field(default_factory=dict)


def _capitalize(match: re.Match[str]) -> str:
    return match.group(2).upper()
