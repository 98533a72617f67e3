"""What can be set, by option or by environment, with the default and the reason for it.

Whatever Twilio does not document is a setting here, so that a test can try both ways.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from taskrouter_simulator.urls import is_url


def _setting(default: Any, text: str, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"help": text, "choices": choices})


class SettingsError(ValueError):
    """A setting has a value that it cannot have; the message names it."""


@dataclass(frozen=True)
class Settings:
    """Every setting of the simulator. The environment name is `SIMULATOR_` + the field's."""

    host: str = _setting("127.0.0.1", "address to listen on")
    port: int = _setting(8002, "port to listen on; 0 picks a free one")
    callback_base_url: str = _setting(
        "http://127.0.0.1:8000", "where the app answers; the seeded URLs begin with it"
    )
    assignment_path: str = _setting(
        "/assignment_callback", "path of the seeded Workflow's assignment callback; '' for none"
    )
    fallback_path: str = _setting("", "path of its fallback assignment callback; '' for none")
    event_path: str = _setting("", "path of the Workspace's event callback; '' for none")
    voice_path: str = _setting(
        "/incoming_call", "path where a call gets its first TwiML; '' for none"
    )
    reservation_timeout: int = _setting(1200, "seconds a Reservation of the seeded Workflow lives")
    workspace_file: str = _setting("", "JSON file of the Workspace; '' is the quickstart's")
    allowed_hosts: str = _setting(
        "",
        "names with a dot under which /v1 may be called, comma separated; addresses, localhost and"
        " names without a dot always may",
    )
    frozen_clock: bool = _setting(
        default=False, text="time stands still until POST /simulator/clock moves it"
    )
    log_size: int = _setting(10_000, "how many entries the log keeps")
    log_answers: int = _setting(1_000, "how many of the newest log entries keep REST's answers")

    routing_delay: float = _setting(
        0.0, "seconds from a change to the routing that it causes (about 0.5 was seen at Twilio)"
    )
    reoffer_delay: float = _setting(
        1.0, "seconds before a Worker that rejects a Task, and stays available, is offered it again"
    )
    reject_without_activity: bool = _setting(
        default=True,
        text="a reject instruction without activity_sid is carried out (else alert 40100)",
    )
    nulls_are_values: bool = _setting(
        default=False,
        text="in expressions a missing attribute equals another and differs from any value"
        " (else only `== null` and `!= null` see it, and other comparisons are false)",
    )
    mixed_types: str = _setting(
        "unequal",
        "in expressions values of two types are unequal, without order; every comparison of them is"
        " false; or a text that holds a number is one beside a number",
        ("unequal", "false", "numbers"),
    )
    not_pending_code: int = _setting(
        20001, "code for a Reservation that is no longer pending (400, or alert after a callback)"
    )
    not_pending_status: int = _setting(
        400, "HTTP status of that refusal (400 was seen; nothing tells of a 409)"
    )
    retry_after: int = _setting(
        0, "Retry-After of a 429 whose fault names none, in seconds; 0 for no such header"
    )
    rate_limit: int = _setting(
        0,
        "X-Rate-Limit-Limit and -Config of REST's answers, and -Remaining unless it is a 429; 0 for"
        " no such headers (Twilio's description names them, not what they hold)",
    )
    problem_details: bool = _setting(
        default=False,
        text="errors are RFC 9457 problem documents, which the Python SDK raises as"
        " TwilioServiceException (else TwilioRestException)",
    )
    accept_twice: bool = _setting(
        default=False, text="accepting an accepted Reservation once more succeeds (else 400)"
    )
    least_reservation_timeout: int = _setting(1, "seconds, the least a Workflow may have")
    etag_quoted: bool = _setting(default=True, text="ETags are in quotes")
    timeout_moves_to_next_target: bool = _setting(
        default=True,
        text="a Reservation that times out sends its Task to the filter's next target, if any",
    )
    default_filter_timeout: bool = _setting(
        default=False, text="a timeout in default_filter counts (it is not documented there)"
    )
    callback_order: str = _setting(
        "unordered",
        "which goes first, and is answered before the other goes: a Reservation's assignment"
        " callback or its reservation.created event",
        ("unordered", "callback-first", "event-first"),
    )
    event_callbacks_in_order: bool = _setting(
        default=False, text="an event callback waits for the answer to the one before"
    )
    assignment_callback_seconds: float = _setting(5.0, "limit of an assignment callback")
    fallback_callback_seconds: float = _setting(5.0, "limit of a fallback callback")
    event_callback_seconds: float = _setting(15.0, "limit of an event callback")
    callback_timestamp: str = _setting(
        "seconds",
        "Timestamp of assignment callbacks (absent in a capture)",
        ("seconds", "iso", "none"),
    )
    event_callback_wants_204: bool = _setting(
        default=True, text="an event callback answered with another 2xx than 204 has failed"
    )
    bad_json_uses_fallback: bool = _setting(
        default=False,
        text="an answer that is not JSON, or names no instruction (alerts 40001, 40005), sends"
        " TaskRouter to the fallback URL",
    )
    fallback_connection_overrides: bool = _setting(
        default=True,
        text="a fallback callback is retried, and connected, as the first is: by its URL's fragment"
        " (else it is posted once)",
    )
    fallback_error_parameters: bool = _setting(
        default=False, text="fallback callbacks carry ErrorCode and ErrorUrl"
    )
    failed_callbacks_cancel: bool = _setting(
        default=False,
        text="a Reservation whose callbacks all fail is canceled (else it waits for its time-out)",
    )
    events_newest_first: bool = _setting(
        default=False, text="the Events list begins with the newest (else with the oldest)"
    )
    event_callback_retries: int = _setting(0, "how often a failed event callback is repeated")
    twiml_seconds: float = _setting(15.0, "limit of a request for TwiML")
    answer_seconds: float = _setting(0.0, "how long a Worker's phone rings until it is picked up")
    unanswered_call: str = _setting(
        "canceled",
        "what becomes of the Reservation of a Worker who does not pick up; pending waits for its"
        " own time-out",
        ("canceled", "rejected", "timeout", "pending"),
    )
    ended_call: str = _setting(
        "completed",
        "what becomes of an assigned Task when its call ends",
        ("completed", "wrapping", "assigned"),
    )
    canceled_task_result: str = _setting(
        "leave",
        "QueueResult with which a call leaves its queue when its Task is canceled otherwise than by"
        " hanging up; none has it wait on",
        ("leave", "error", "none"),
    )
    voice_queue_size: int = _setting(100, "calls that may wait for one Workflow")
    task_timeout: int = _setting(86_400, "seconds a Task waits unless it says otherwise")
    default_capacity: int = _setting(1, "capacity of a Worker's channel until it is set")
    closed_task_seconds: int = _setting(300, "how long a closed Task can still be fetched")
    assigned_task_seconds: int = _setting(86_400, "an assigned Task is deleted after this")
    max_assignments: int = _setting(1000, "moves to reserved after which a Task is canceled")
    user_agent: str = _setting("TwilioProxy/1.1", "User-Agent of callbacks")
    idempotency_token: bool = _setting(
        default=True, text="callbacks carry I-Twilio-Idempotency-Token"
    )
    signed_port: bool = _setting(
        default=True, text="a port that stands in a callback's URL is part of what is signed"
    )
    shared_key_signatures: bool = _setting(
        default=False,
        text="callbacks are signed with a SharedKey and HMAC-SHA256 (else with the Auth Token and"
        " HMAC-SHA1)",
    )

    def names(self) -> set[str]:
        """The further hosts under which REST may be called, in lower case."""
        return {name.strip().lower() for name in self.allowed_hosts.split(",")} - {""}

    def url(self, path: str) -> str:
        """The app's URL for one of the paths; an empty path is no URL."""
        return self.callback_base_url.rstrip("/") + path if path else ""


def read(values: Mapping[str, str | None]) -> Settings:
    """Settings from texts.

    Args:
        values: texts by field name; None leaves the default.

    Raises:
        SettingsError: a text that does not fit its setting.
    """
    defaults = Settings()
    chosen = {}
    for one in fields(Settings):
        text = values.get(one.name)
        if text is not None:
            chosen[one.name] = _convert(one.name, text, type(getattr(defaults, one.name)))
            choices = one.metadata["choices"]
            if choices and text not in choices:
                name = environment_name(one.name)
                raise SettingsError(f"{name} must be one of {', '.join(choices)}, not {text!r}")
            if one.name.endswith("_path") and text and not text.startswith("/"):
                name = environment_name(one.name)
                raise SettingsError(f"{name} must begin with /, not be {text!r}")
    settings = Settings(**chosen)
    if not is_url(settings.callback_base_url):
        name = environment_name("callback_base_url")
        raise SettingsError(f"{name} must be a URL, not {settings.callback_base_url!r}")
    return settings


def environment_name(name: str) -> str:
    """The environment variable of a field."""
    return f"SIMULATOR_{name.upper()}"


def _convert(name: str, text: str, kind: type) -> Any:
    if kind is str:
        return text
    if kind is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if text.lower() not in words:
            raise SettingsError(f"{environment_name(name)} must be true or false, not {text!r}")
        return words[text.lower()]
    try:
        number = kind(text)
    except ValueError as error:
        raise SettingsError(f"{environment_name(name)} must be a number, not {text!r}") from error
    if not 0 <= number < float("inf"):
        raise SettingsError(f"{environment_name(name)} must be 0 or more, not {text!r}")
    return number
