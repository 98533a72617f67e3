"""What all assignment instructions have in common; the catalogue says in what they differ."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from typing import Any, ClassVar, NamedTuple

from chalicelib.domain.errors import nearest_name
from chalicelib.domain.instructions.parameter_types import (
    ACTIVITY,
    CALL,
    CALL_EVENTS,
    CONFERENCE_EVENTS,
    CONTACT,
    FLAG,
    METHOD,
    RECORD,
    TEXT,
    URL,
    ParameterType,
    comma_list,
    is_sip,
    one_of,
    whole,
)

MAX_SHOWN_NAME = 64
"""As much of an unknown name as is worth showing: it may have come from outside."""


class ParameterError(NamedTuple):
    """What is wrong with one parameter.

    Attributes:
        parameter: its JSON name, or ``instruction``; in a rule ``when`` or ``parameters`` too.
        message: one sentence that says what to write instead, and never a parameter's value.
    """

    parameter: str
    message: str


class InvalidInstruction(ValueError):
    """It is no instruction that TaskRouter would carry out; each fault is one sentence."""

    def __init__(self, faults: Iterable[ParameterError]) -> None:
        self.faults = tuple(faults)
        super().__init__(" ".join(fault.message for fault in self.faults))


@dataclass(frozen=True)
class Parameter:
    """What is known of a parameter.

    Attributes:
        attribute: the dataclass's field.
        kind: what its value may be.
        rest: its name in the REST API.
        required: whether the instruction can't do without it.
        default: what TaskRouter takes where it is absent, as Twilio documents it; None where that
            is nothing, or not documented. It is never sent.
        secret: whether only TaskRouter may see its value.
    """

    attribute: str
    kind: ParameterType
    rest: str
    required: bool
    default: object
    secret: bool = False


def required(kind: ParameterType, rest: str) -> Any:
    """Declare a parameter that must be there, with its name in the REST API."""
    return field(metadata={"kind": kind, "rest": rest, "required": True, "default": None})


def optional(
    kind: ParameterType, rest: str, *, default: object = None, secret: bool = False
) -> Any:
    """Declare a parameter that may be absent; see `Parameter`.

    Args:
        kind: what its value may be.
        rest: its name in the REST API.
        default: what TaskRouter takes instead.
        secret: whether only TaskRouter may see its value; it is kept out of the repr too.
    """
    metadata = {
        "kind": kind,
        "rest": rest,
        "required": False,
        "default": default,
        "secret": secret,
    }
    return field(default=None, repr=not secret, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """One assignment instruction. A parameter that is None is absent: nothing is sent of it.

    Raises:
        InvalidInstruction: TaskRouter would refuse a parameter.
    """

    name: ClassVar[str]
    asks: ClassVar[Mapping[str, str]]
    """What tells it from the others in the REST API."""
    accepts_always: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if faults := list(self.value_faults(self._given())):
            raise InvalidInstruction(faults)

    @cached_property
    def accepts(self) -> bool:
        """Whether TaskRouter accepts the Reservation by it, once it is carried out."""
        return self.accepts_always or bool(getattr(self, "accept", None))

    @cached_property
    def answer(self) -> Mapping[str, Any]:
        """The JSON object that answers the assignment callback."""
        return {"instruction": self.name, **self._given()}

    def rest(self) -> dict[str, Any]:
        """Return the form to update the Reservation with: texts, numbers, lists of texts."""
        known = self.parameters()
        given = {known[name].rest: known[name].kind.form(v) for name, v in self._given().items()}
        return {**self.asks, **given}

    def _given(self) -> dict[str, Any]:
        values = {name: getattr(self, one.attribute) for name, one in self.parameters().items()}
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    @cache
    def parameters(cls) -> Mapping[str, Parameter]:
        """Return the parameters that it takes, by JSON name, in the order of Twilio's tables."""
        # `from` is a word of Python's own, so its field is `from_`.
        return {one.name.rstrip("_"): Parameter(one.name, **one.metadata) for one in fields(cls)}

    @classmethod
    def faults(
        cls, given: Mapping[str, Any], *, later: Collection[str] = ()
    ) -> list[ParameterError]:
        """Return everything that is wrong with parameters, by JSON name.

        Args:
            given: the parameters.
            later: the names of others, whose values are not known yet.
        """
        known = cls.parameters()
        unknown = [
            ParameterError(name, cls._no_such(name))
            for name in [*given, *later]
            if name not in known
        ]
        missing = [
            ParameterError(name, f"{cls.name} needs {name}: {one.kind.must_be}.")
            for name, one in known.items()
            if one.required and name not in given and name not in later
        ]
        values = {name: value for name, value in given.items() if name in known}
        return [*unknown, *missing, *cls.value_faults(values)]

    @classmethod
    def value_faults(cls, given: Mapping[str, Any]) -> Iterator[ParameterError]:
        """Yield what is wrong with the values of known parameters, by JSON name."""
        known = cls.parameters()
        for name, value in given.items():
            kind = known[name].kind
            if not kind.fits(value):
                yield ParameterError(name, f"{name} must be {kind.must_be}.")

    @classmethod
    def _no_such(cls, name: str) -> str:
        names = list(cls.parameters())
        if not names:
            return f"{cls.name} has no parameter {name[:MAX_SHOWN_NAME]}: it has none."
        return f"{cls.name} has no parameter {name[:MAX_SHOWN_NAME]}{suggestion(name, names)}"


def suggestion(name: str, known: Collection[str]) -> str:
    """Return what follows a name that is not known: the nearest, else all of them."""
    close = nearest_name(name[:MAX_SHOWN_NAME], known)
    return f"; did you mean {close}?" if close else f"; there are {', '.join(known)}."


_SECONDS = whole(1, 999)
_MAX_SIP_SECONDS = 600
_EVENTS = comma_list(*CALL_EVENTS)


@dataclass(frozen=True, kw_only=True)
class Defer(Instruction):
    """Decide later, over REST: the documented empty JSON object."""

    name: ClassVar[str] = "defer"
    asks: ClassVar[Mapping[str, str]] = {}

    @cached_property
    def answer(self) -> Mapping[str, Any]:
        """The empty JSON object."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Accept(Instruction):
    """Accept the Reservation; TaskRouter assigns the Task and does nothing further."""

    name: ClassVar[str] = "accept"
    asks: ClassVar[Mapping[str, str]] = {"ReservationStatus": "accepted"}
    accepts_always: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Reject(Instruction):
    """Reject the Reservation, and move the Worker to another Activity.

    One table of Twilio's calls ``activity_sid`` required, its text does not. Without it the Worker
    stays where it is, and may be offered the same Task at once, up to 1,000 times.
    """

    name: ClassVar[str] = "reject"
    asks: ClassVar[Mapping[str, str]] = {"ReservationStatus": "rejected"}

    activity_sid: str | None = optional(
        ACTIVITY, "WorkerActivitySid", default="the Activity that they are in"
    )


@dataclass(frozen=True, kw_only=True)
class Dequeue(Instruction):
    """Connect a caller, who waits in a queue since ``<Enqueue workflowSid>``, to the Worker.

    The Task must have the attribute ``call_sid``, as ``<Enqueue>`` gives it (else error 40140).
    """

    name: ClassVar[str] = "dequeue"
    asks: ClassVar[Mapping[str, str]] = {"Instruction": "dequeue"}
    accepts_always: ClassVar[bool] = True

    to: str | None = optional(CONTACT, "DequeueTo", default="the Worker's contact_uri")
    from_: str | None = optional(CONTACT, "DequeueFrom", default="the number that was dialled")
    post_work_activity_sid: str | None = optional(ACTIVITY, "DequeuePostWorkActivitySid")
    record: str | None = optional(RECORD, "DequeueRecord", default="do-not-record")
    timeout: int | None = optional(_SECONDS, "DequeueTimeout", default=60)
    status_callback_url: str | None = optional(URL, "DequeueStatusCallbackUrl")
    status_callback_events: str | None = optional(_EVENTS, "DequeueStatusCallbackEvent")

    @classmethod
    def value_faults(cls, given: Mapping[str, Any]) -> Iterator[ParameterError]:
        """Yield what is wrong with values; a SIP address has a limit of its own."""
        faults = list(super().value_faults(given))
        yield from faults
        if not faults and is_sip(given.get("to")) and given.get("timeout", 0) > _MAX_SIP_SECONDS:
            yield ParameterError(
                "timeout",
                f"timeout must be at most {_MAX_SIP_SECONDS} where to is a SIP address.",
            )


@dataclass(frozen=True, kw_only=True)
class Call(Instruction):
    """Call the Worker, and run TwiML once they answer."""

    name: ClassVar[str] = "call"
    asks: ClassVar[Mapping[str, str]] = {"Instruction": "call"}

    to: str | None = optional(CONTACT, "CallTo", default="the Worker's contact_uri")
    from_: str = required(CONTACT, "CallFrom")
    url: str = required(URL, "CallUrl")
    accept: bool | None = optional(FLAG, "CallAccept", default=False)
    record: str | None = optional(RECORD, "CallRecord", default="do-not-record")
    timeout: int | None = optional(_SECONDS, "CallTimeout", default=60)
    status_callback_url: str | None = optional(URL, "CallStatusCallbackUrl")


@dataclass(frozen=True, kw_only=True)
class Redirect(Instruction):
    """Redirect a call that waits in a queue to TwiML."""

    name: ClassVar[str] = "redirect"
    asks: ClassVar[Mapping[str, str]] = {"Instruction": "redirect"}

    call_sid: str = required(CALL, "RedirectCallSid")
    url: str = required(URL, "RedirectUrl")
    accept: bool | None = optional(FLAG, "RedirectAccept", default=False)


@dataclass(frozen=True, kw_only=True)
class Conference(Instruction):
    """Bring the caller and the Worker together in a conference.

    Twilio recommends it over dequeue and call. Its parameters are documented for REST; that
    callbacks may be answered with it, in the same names, is told by Twilio's errors 40137 and
    40138 only. How these write events is told nowhere; here as dequeue does, the one instruction
    whose events Twilio documents for callbacks. The Task must have the attribute ``call_sid`` or
    ``outbound_to`` (else 40142).
    """

    name: ClassVar[str] = "conference"
    asks: ClassVar[Mapping[str, str]] = {"Instruction": "conference"}
    accepts_always: ClassVar[bool] = True

    to: str | None = optional(CONTACT, "To", default="the Worker's contact_uri")
    from_: str | None = optional(CONTACT, "From")
    post_work_activity_sid: str | None = optional(ACTIVITY, "PostWorkActivitySid")
    timeout: int | None = optional(_SECONDS, "Timeout")
    status_callback: str | None = optional(URL, "StatusCallback")
    status_callback_method: str | None = optional(METHOD, "StatusCallbackMethod", default="POST")
    status_callback_event: str | None = optional(_EVENTS, "StatusCallbackEvent")
    record: bool | None = optional(FLAG, "Record", default=False)
    muted: bool | None = optional(FLAG, "Muted", default=False)
    beep: str | None = optional(
        one_of("true", "false", "onEnter", "onExit"), "Beep", default="true"
    )
    start_conference_on_enter: bool | None = optional(FLAG, "StartConferenceOnEnter", default=True)
    end_conference_on_exit: bool | None = optional(FLAG, "EndConferenceOnExit")
    end_conference_on_customer_exit: bool | None = optional(FLAG, "EndConferenceOnCustomerExit")
    beep_on_customer_entrance: bool | None = optional(FLAG, "BeepOnCustomerEntrance")
    wait_url: str | None = optional(URL, "WaitUrl", default="Twilio's hold music")
    wait_method: str | None = optional(METHOD, "WaitMethod", default="POST")
    early_media: bool | None = optional(FLAG, "EarlyMedia", default=True)
    max_participants: int | None = optional(whole(2, 250), "MaxParticipants", default=250)
    conference_status_callback: str | None = optional(URL, "ConferenceStatusCallback")
    conference_status_callback_method: str | None = optional(
        METHOD, "ConferenceStatusCallbackMethod", default="POST"
    )
    conference_status_callback_event: str | None = optional(
        comma_list(*CONFERENCE_EVENTS), "ConferenceStatusCallbackEvent"
    )
    conference_record: str | None = optional(
        one_of("true", "false", "record-from-start", "do-not-record"),
        "ConferenceRecord",
        default="false",
    )
    conference_trim: str | None = optional(
        one_of("trim-silence", "do-not-trim"), "ConferenceTrim", default="trim-silence"
    )
    recording_channels: str | None = optional(
        one_of("mono", "dual"), "RecordingChannels", default="mono"
    )
    recording_status_callback: str | None = optional(URL, "RecordingStatusCallback")
    recording_status_callback_method: str | None = optional(
        METHOD, "RecordingStatusCallbackMethod", default="POST"
    )
    conference_recording_status_callback: str | None = optional(
        URL, "ConferenceRecordingStatusCallback"
    )
    conference_recording_status_callback_method: str | None = optional(
        METHOD, "ConferenceRecordingStatusCallbackMethod", default="POST"
    )
    region: str | None = optional(
        one_of("us1", "us2", "ie1", "de1", "sg1", "br1", "au1", "jp1"), "Region"
    )
    sip_auth_username: str | None = optional(TEXT, "SipAuthUsername")
    sip_auth_password: str | None = optional(TEXT, "SipAuthPassword", secret=True)
    jitter_buffer_size: str | None = optional(
        one_of("small", "medium", "large", "off"), "JitterBufferSize"
    )


INSTRUCTION_TYPES: Mapping[str, type[Instruction]] = {
    kind.name: kind for kind in (Defer, Accept, Reject, Dequeue, Call, Redirect, Conference)
}
"""Every instruction by its name."""

WITHOUT_PARAMETERS: Mapping[str, Instruction] = {"defer": Defer(), "accept": Accept()}
"""The instructions that the setting ASSIGNMENT_INSTRUCTION may name."""
