"""The assignment instructions and their parameters.

Each parameter is defined once, in its dataclass field: its type, its name in the REST API, whether
it is required, and the default that TaskRouter uses. To add an instruction, add a class and list
it in `INSTRUCTION_TYPES`.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cache, cached_property
from itertools import islice
from typing import Any, ClassVar, NamedTuple

from chalicelib.domain.instructions.parameter_types import (
    ACTIVITY,
    CALL,
    CALL_EVENTS,
    CONFERENCE_EVENTS,
    CONTACT,
    FLAG,
    METHOD,
    RECORD,
    STRING,
    URL,
    ParameterType,
    comma_list,
    is_sip,
    one_of,
    whole_number,
)
from chalicelib.domain.messages import display_name, suggestion

_MAX_UNKNOWN_NAMES = 10
"""Maximum number of unknown parameters to report. A request may contain thousands."""


class ParameterError(NamedTuple):
    """An error in one parameter.

    Attributes:
        parameter: JSON name of the parameter, or ``instruction``; in a rule, also ``when`` or
            ``parameters``.
        message: full sentences. They may contain an unknown name, but never a parameter's value.
    """

    parameter: str
    message: str


class InvalidInstruction(ValueError):
    """TaskRouter would refuse the instruction."""

    def __init__(self, errors: Iterable[ParameterError]) -> None:
        self.errors = tuple(errors)
        super().__init__(" ".join(error.message for error in self.errors))


@dataclass(frozen=True)
class Parameter:
    """The definition of a parameter.

    Attributes:
        attribute: name of the dataclass field.
        value_type: type of the value.
        rest_name: name in the REST API.
        required: whether the instruction requires the parameter.
        default: value that TaskRouter uses if the parameter is absent, as documented by Twilio;
            None if no default is documented. The default is never sent.
        secret: whether only TaskRouter may see the value.
    """

    attribute: str
    value_type: ParameterType
    rest_name: str
    required: bool
    default: object
    secret: bool = False


def required(value_type: ParameterType, rest_name: str) -> Any:
    """Declare a required parameter and its name in the REST API."""
    metadata = {"value_type": value_type, "rest_name": rest_name, "required": True, "default": None}
    return field(metadata=metadata)


def optional(
    value_type: ParameterType, rest_name: str, *, default: object = None, secret: bool = False
) -> Any:
    """Declare an optional parameter.

    Args:
        value_type: type of the value.
        rest_name: name in the REST API.
        default: value that TaskRouter uses if the parameter is absent.
        secret: whether only TaskRouter may see the value. The repr also omits it.
    """
    metadata = {
        "value_type": value_type,
        "rest_name": rest_name,
        "required": False,
        "default": default,
        "secret": secret,
    }
    return field(default=None, repr=not secret, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Instruction:
    """An assignment instruction. A parameter that is None is absent and is not sent.

    Raises:
        InvalidInstruction: TaskRouter would refuse a parameter.
    """

    name: ClassVar[str]
    base_form: ClassVar[Mapping[str, str]]
    """Form fields that select the instruction in the REST API."""
    accepts_always: ClassVar[bool] = False
    """Whether TaskRouter accepts the Reservation regardless of the parameters."""

    def __post_init__(self) -> None:
        if errors := list(self.value_errors(self._present())):
            raise InvalidInstruction(errors)

    @cached_property
    def accepts(self) -> bool:
        """Whether executing the instruction makes TaskRouter accept the Reservation."""
        return self.accepts_always or bool(getattr(self, "accept", None))

    @cached_property
    def answer(self) -> Mapping[str, Any]:
        """The JSON object that answers the assignment callback."""
        return {"instruction": self.name, **self._present()}

    def rest_form(self) -> dict[str, Any]:
        """Return the form fields that send the instruction over REST, by name.

        The values are strings, numbers or lists of strings.
        """
        definitions = self.parameters()
        values = {
            definitions[name].rest_name: definitions[name].value_type.to_form(value)
            for name, value in self._present().items()
        }
        return {**self.base_form, **values}

    def _present(self) -> dict[str, Any]:
        values = {
            name: getattr(self, parameter.attribute)
            for name, parameter in self.parameters().items()
        }
        return {name: value for name, value in values.items() if value is not None}

    @classmethod
    @cache
    def parameters(cls) -> Mapping[str, Parameter]:
        """Return the parameters by JSON name, in the order of Twilio's tables."""
        # `from` is a Python keyword, so its field is `from_`.
        return {
            definition.name.rstrip("_"): Parameter(definition.name, **definition.metadata)
            for definition in fields(cls)
        }

    @classmethod
    def errors_in(
        cls, values: Mapping[str, Any], *, deferred: Collection[str] = ()
    ) -> list[ParameterError]:
        """Return the errors in the parameters of an instruction.

        Args:
            values: the values by JSON name.
            deferred: JSON names of parameters that *values* lacks because they are not known yet.
        """
        definitions, prefix = cls.parameters(), f"The `{cls.name}` instruction"
        unknown_names = (name for name in [*values, *deferred] if name not in definitions)
        unknown = [
            ParameterError(name, cls._unknown_message(name))
            for name in islice(unknown_names, _MAX_UNKNOWN_NAMES)
        ]
        missing = [
            ParameterError(name, f"{prefix} requires `{name}`: {parameter.value_type.description}.")
            for name, parameter in definitions.items()
            if parameter.required and name not in values and name not in deferred
        ]
        known_values = {name: value for name, value in values.items() if name in definitions}
        return [*unknown, *missing, *cls.value_errors(known_values)]

    @classmethod
    def value_errors(cls, values: Mapping[str, Any]) -> Iterator[ParameterError]:
        """Yield the errors in *values*, which maps JSON names of parameters to values."""
        definitions = cls.parameters()
        for name, value in values.items():
            value_type = definitions[name].value_type
            if not value_type.is_valid(value):
                yield ParameterError(name, f"{name} must be {value_type.description}.")

    @classmethod
    def _unknown_message(cls, name: str) -> str:
        definitions = cls.parameters()
        if not definitions:
            return f"The `{cls.name}` instruction has no parameters. Remove `{display_name(name)}`."
        message = f"The `{cls.name}` instruction has no parameter `{display_name(name)}`"
        return message + suggestion(name, definitions.keys(), cls.hints())

    @classmethod
    def hints(cls) -> dict[str, str]:
        """Map the REST names of all instructions' parameters to this instruction's JSON names."""
        types = INSTRUCTION_TYPES.values()
        pairs = ((p.rest_name, name) for type_ in types for name, p in type_.parameters().items())
        return {rest_name: name for rest_name, name in pairs if name in cls.parameters()}


_SECONDS = whole_number(1, 999)
_MAX_SIP_SECONDS = 600
_EVENTS = comma_list(*CALL_EVENTS)


@dataclass(frozen=True, kw_only=True)
class Defer(Instruction):
    """Decide later over REST. As Twilio documents, the answer is an empty JSON object."""

    name: ClassVar[str] = "defer"
    base_form: ClassVar[Mapping[str, str]] = {}

    @cached_property
    def answer(self) -> Mapping[str, Any]:
        """The empty JSON object."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Accept(Instruction):
    """Accept the Reservation. TaskRouter assigns the Task and does nothing else."""

    name: ClassVar[str] = "accept"
    base_form: ClassVar[Mapping[str, str]] = {"ReservationStatus": "accepted"}
    accepts_always: ClassVar[bool] = True


@dataclass(frozen=True, kw_only=True)
class Reject(Instruction):
    """Reject the Reservation and, with ``activity_sid``, move the Worker to that Activity.

    A table on Twilio's page marks ``activity_sid`` as required; the text of the page does not.
    Without ``activity_sid``, the Worker stays available and may be offered the same Task
    immediately, up to 1,000 times.
    """

    name: ClassVar[str] = "reject"
    base_form: ClassVar[Mapping[str, str]] = {"ReservationStatus": "rejected"}

    activity_sid: str | None = optional(
        ACTIVITY, "WorkerActivitySid", default="the Worker's current Activity"
    )


@dataclass(frozen=True, kw_only=True)
class Dequeue(Instruction):
    """Connect the Worker to a caller who is waiting in a queue.

    The caller must have been enqueued with ``<Enqueue workflowSid>``. The Task must have the
    attribute ``call_sid``, which ``<Enqueue>`` sets. Otherwise, TaskRouter reports error 40140.
    """

    name: ClassVar[str] = "dequeue"
    base_form: ClassVar[Mapping[str, str]] = {"Instruction": "dequeue"}
    accepts_always: ClassVar[bool] = True

    to: str | None = optional(CONTACT, "DequeueTo", default="the Worker's contact_uri")
    from_: str | None = optional(CONTACT, "DequeueFrom", default="the number that was dialed")
    post_work_activity_sid: str | None = optional(ACTIVITY, "DequeuePostWorkActivitySid")
    record: str | None = optional(RECORD, "DequeueRecord", default="do-not-record")
    timeout: int | None = optional(_SECONDS, "DequeueTimeout", default=60)
    status_callback_url: str | None = optional(URL, "DequeueStatusCallbackUrl")
    status_callback_events: str | None = optional(_EVENTS, "DequeueStatusCallbackEvent")

    @classmethod
    def value_errors(cls, values: Mapping[str, Any]) -> Iterator[ParameterError]:
        """Yield the errors in the values. SIP addresses have a shorter maximum timeout."""
        errors = list(super().value_errors(values))
        yield from errors
        is_limited = is_sip(values.get("to")) and "timeout" in values
        if not errors and is_limited and values["timeout"] > _MAX_SIP_SECONDS:
            yield ParameterError(
                "timeout",
                f"timeout must be at most {_MAX_SIP_SECONDS} if `to` is a SIP address.",
            )


@dataclass(frozen=True, kw_only=True)
class Call(Instruction):
    """Call the Worker, and run TwiML when the Worker answers."""

    name: ClassVar[str] = "call"
    base_form: ClassVar[Mapping[str, str]] = {"Instruction": "call"}

    to: str | None = optional(CONTACT, "CallTo", default="the Worker's contact_uri")
    from_: str = required(CONTACT, "CallFrom")
    url: str = required(URL, "CallUrl")
    accept: bool | None = optional(FLAG, "CallAccept", default=False)
    record: str | None = optional(RECORD, "CallRecord", default="do-not-record")
    timeout: int | None = optional(_SECONDS, "CallTimeout", default=60)
    status_callback_url: str | None = optional(URL, "CallStatusCallbackUrl")


@dataclass(frozen=True, kw_only=True)
class Redirect(Instruction):
    """Redirect a call that is waiting in a queue to different TwiML."""

    name: ClassVar[str] = "redirect"
    base_form: ClassVar[Mapping[str, str]] = {"Instruction": "redirect"}

    call_sid: str = required(CALL, "RedirectCallSid")
    url: str = required(URL, "RedirectUrl")
    accept: bool | None = optional(FLAG, "RedirectAccept", default=False)


@dataclass(frozen=True, kw_only=True)
class Conference(Instruction):
    """Connect the caller and the Worker in a conference.

    Twilio recommends ``conference`` over ``dequeue`` and ``call``, but documents the parameters of
    ``conference`` only for REST. Twilio's pages about errors 40137 and 40138 imply that
    ``conference`` may also answer a callback, with the same parameter names. Twilio does not
    document the format of events in such an answer, so this class uses the format of ``dequeue``,
    the only instruction whose events Twilio documents for callbacks. The Task must have the
    attribute ``call_sid`` or ``outbound_to``. Otherwise, TaskRouter reports error 40142.
    """

    name: ClassVar[str] = "conference"
    base_form: ClassVar[Mapping[str, str]] = {"Instruction": "conference"}
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
    max_participants: int | None = optional(whole_number(2, 250), "MaxParticipants", default=250)
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
    sip_auth_username: str | None = optional(STRING, "SipAuthUsername")
    sip_auth_password: str | None = optional(STRING, "SipAuthPassword", secret=True)
    jitter_buffer_size: str | None = optional(
        one_of("small", "medium", "large", "off"), "JitterBufferSize"
    )


INSTRUCTION_TYPES: Mapping[str, type[Instruction]] = {
    instruction.name: instruction
    for instruction in (Defer, Accept, Reject, Dequeue, Call, Redirect, Conference)
}
"""All instructions by name."""

WITHOUT_PARAMETERS: Mapping[str, Instruction] = {"defer": Defer(), "accept": Accept()}
"""Allowed values of the setting ASSIGNMENT_INSTRUCTION."""
