"""All instruction parameters, copied from Twilio's documentation, not from the code.

https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks (callback names and limits)
https://www.twilio.com/docs/taskrouter/api/reservations (REST names, and all conference parameters)

Twilio documents no maximum length for strings and contacts. This service allows at most 256
characters.
"""

from dataclasses import dataclass
from typing import Any

WA = "WA" + "0a" * 16
CA = "CA" + "0B" * 16

DESCRIPTIONS = {
    "contact": "a phone number (such as +15556667777), client:NAME, or sip:USER@HOST; "
    "at most 256 characters",
    "activity": "the SID of an Activity: WA followed by 32 hexadecimal digits",
    "call": "the SID of a call: CA followed by 32 hexadecimal digits",
    "url": "a URL that begins with https:// or http:// and has at most 4000 characters",
    "flag": "true or false, without quotes",
    "seconds": "a whole number from 1 to 999, without quotes",
    "text": "a non-empty string of at most 256 characters",
    "method": 'one of "GET", "POST"',
    "recorded": 'one of "do-not-record", "record-from-answer"',
}
VALID_VALUES = {
    "contact": [
        "+15556667777",
        "client:joey",
        "sip:joey@example.com",
        "SIPS:joey@a.b:5061",
        "joey",
        "client:" + "名" * 249,
    ],
    "activity": [WA],
    "call": [CA],
    "url": [
        "https://example.com/a?b=c#rc=2",
        "http://127.0.0.1:8000/",
        "HTTPS://example.com",
        "https://example.com/".ljust(4000, "a"),
    ],
    "flag": [True, False],
    "seconds": [1, 60, 999],
    "text": ["joey", "correct horse", "🔑" * 256],
    "method": ["GET", "POST"],
    "recorded": ["do-not-record", "record-from-answer"],
}
INVALID_VALUES = {
    "contact": [15556667777, "", "+1 555 666", "+0123", "+1" + "5" * 15, "client:",
                "tel:+1555", None, "client:" + "名" * 250, "j" * 257],
    "activity": ["WA123", "WK" + "0" * 32, 5, None, WA + "\n"],
    "call": ["CA123", WA, 5, None],
    "url": ["example.com", "ftp://example.com", "https://", "https://a b", "//a", "http://a:x", 1,
            None, "https://example.com/".ljust(4001, "a"), "https://a/" + "a" * 120_000],
    "flag": ["true", 1, 0, "", None],
    "seconds": [0, 1000, -1, 60.0, "60", True, None],
    "text": ["", "  ", "a\nb", 5, None, "🔑" * 257],
    "method": ["get", "PUT", True, None],
    "recorded": ["record", True, "", None],
}  # fmt: skip
CALL_EVENTS = ["initiated", "ringing", "answered", "completed"]
CONFERENCE_EVENTS = ["start", "end", "join", "leave", "mute", "hold", "speaker"]


@dataclass(frozen=True)
class Row:
    """An instruction parameter: its names and its allowed values.

    Attributes:
        instruction: Name of the instruction.
        name: Name in a callback's answer.
        rest_name: Name in a REST request.
        value_type: Key in the tables above, or a list of the allowed strings, or an empty
            string if `valid`, `invalid` and `description` define the parameter.
        required: Whether the instruction needs the parameter.
        default: Documented default value.
        valid: Examples of allowed values.
        invalid: Examples of invalid values.
        description: Allowed values, as described in error messages.
    """

    instruction: str
    name: str
    rest_name: str
    value_type: str | list[str] = ""
    required: bool = False
    default: object = None
    valid: tuple[Any, ...] = ()
    invalid: tuple[Any, ...] = ()
    description: str = ""

    @property
    def valid_values(self) -> list[Any]:
        return list(
            self.valid
            or (
                self.value_type
                if isinstance(self.value_type, list)
                else VALID_VALUES[self.value_type]
            )
        )

    @property
    def invalid_values(self) -> list[Any]:
        if isinstance(self.value_type, list):
            return [self.value_type[0].upper() + "x", "", True, 1, [], None]
        return list(self.invalid or INVALID_VALUES[self.value_type])

    @property
    def allowed_values(self) -> str:
        if isinstance(self.value_type, list):
            return "one of " + ", ".join(f'"{value}"' for value in self.value_type)
        return self.description or DESCRIPTIONS[self.value_type]


def _events(instruction: str, name: str, rest_name: str, events: list[str]) -> Row:
    return Row(
        instruction, name, rest_name,
        valid=(",".join(events), events[0]),
        invalid=("", ", ".join(events), "exploded", events[0] + ",", events, [], {}, 1, None,
                 f"{events[0]},{events[0]}", ",".join(events * 9999)),
        description="a comma-separated list of events without spaces, "
                    f'such as "{",".join(events[-2:])}"; '
                    f"allowed events, each at most once: {', '.join(events)}",
    )  # fmt: skip


BEEP = ["true", "false", "onEnter", "onExit"]
RECORD = ["true", "false", "record-from-start", "do-not-record"]
DEFAULT_TO = "the Worker's contact_uri"

TABLE = [
    Row(
        "reject", "activity_sid", "WorkerActivitySid", "activity",
        default="the Worker's current Activity",
    ),
    Row("dequeue", "to", "DequeueTo", "contact", default=DEFAULT_TO),
    Row("dequeue", "from", "DequeueFrom", "contact", default="the number that was dialed"),
    Row("dequeue", "post_work_activity_sid", "DequeuePostWorkActivitySid", "activity"),
    Row("dequeue", "record", "DequeueRecord", "recorded", default="do-not-record"),
    Row("dequeue", "timeout", "DequeueTimeout", "seconds", default=60),
    Row("dequeue", "status_callback_url", "DequeueStatusCallbackUrl", "url"),
    _events("dequeue", "status_callback_events", "DequeueStatusCallbackEvent", CALL_EVENTS),
    Row("call", "to", "CallTo", "contact", default=DEFAULT_TO),
    Row("call", "from", "CallFrom", "contact", required=True),
    Row("call", "url", "CallUrl", "url", required=True),
    Row("call", "accept", "CallAccept", "flag", default=False),
    Row("call", "record", "CallRecord", "recorded", default="do-not-record"),
    Row("call", "timeout", "CallTimeout", "seconds", default=60),
    Row("call", "status_callback_url", "CallStatusCallbackUrl", "url"),
    Row("redirect", "call_sid", "RedirectCallSid", "call", required=True),
    Row("redirect", "url", "RedirectUrl", "url", required=True),
    Row("redirect", "accept", "RedirectAccept", "flag", default=False),
    Row("conference", "to", "To", "contact", default=DEFAULT_TO),
    Row("conference", "from", "From", "contact"),
    Row("conference", "post_work_activity_sid", "PostWorkActivitySid", "activity"),
    Row("conference", "timeout", "Timeout", "seconds"),
    Row("conference", "status_callback", "StatusCallback", "url"),
    Row("conference", "status_callback_method", "StatusCallbackMethod", "method", default="POST"),
    _events("conference", "status_callback_event", "StatusCallbackEvent", CALL_EVENTS),
    Row("conference", "record", "Record", "flag", default=False),
    Row("conference", "muted", "Muted", "flag", default=False),
    Row("conference", "beep", "Beep", BEEP, default="true"),
    Row("conference", "start_conference_on_enter", "StartConferenceOnEnter", "flag", default=True),
    Row("conference", "end_conference_on_exit", "EndConferenceOnExit", "flag"),
    Row("conference", "end_conference_on_customer_exit", "EndConferenceOnCustomerExit", "flag"),
    Row("conference", "beep_on_customer_entrance", "BeepOnCustomerEntrance", "flag"),
    Row("conference", "wait_url", "WaitUrl", "url", default="Twilio's hold music"),
    Row("conference", "wait_method", "WaitMethod", "method", default="POST"),
    Row("conference", "early_media", "EarlyMedia", "flag", default=True),
    Row(
        "conference", "max_participants", "MaxParticipants",
        default=250, valid=(2, 250), invalid=(1, 251, "2", True, None),
        description="a whole number from 2 to 250, without quotes",
    ),
    Row("conference", "conference_status_callback", "ConferenceStatusCallback", "url"),
    Row("conference", "conference_status_callback_method", "ConferenceStatusCallbackMethod",
        "method", default="POST"),
    _events("conference", "conference_status_callback_event", "ConferenceStatusCallbackEvent",
            CONFERENCE_EVENTS),
    Row("conference", "conference_record", "ConferenceRecord", RECORD, default="false"),
    Row("conference", "conference_trim", "ConferenceTrim", ["trim-silence", "do-not-trim"],
        default="trim-silence"),
    Row("conference", "recording_channels", "RecordingChannels", ["mono", "dual"], default="mono"),
    Row("conference", "recording_status_callback", "RecordingStatusCallback", "url"),
    Row("conference", "recording_status_callback_method", "RecordingStatusCallbackMethod",
        "method", default="POST"),
    Row("conference", "conference_recording_status_callback", "ConferenceRecordingStatusCallback",
        "url"),
    Row("conference", "conference_recording_status_callback_method",
        "ConferenceRecordingStatusCallbackMethod", "method", default="POST"),
    Row("conference", "region", "Region",
        ["us1", "us2", "ie1", "de1", "sg1", "br1", "au1", "jp1"]),
    Row("conference", "sip_auth_username", "SipAuthUsername", "text"),
    Row("conference", "sip_auth_password", "SipAuthPassword", "text"),
    Row("conference", "jitter_buffer_size", "JitterBufferSize",
        ["small", "medium", "large", "off"]),
]  # fmt: skip

REQUIRED: dict[str, dict[str, Any]] = {
    "call": {"from": "+15556667777", "url": "https://example.com/twiml"},
    "redirect": {"call_sid": CA, "url": "https://example.com/twiml"},
}
