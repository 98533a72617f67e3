"""Validation of the parameters of the `conference` and `supervise` instructions.

The defaults are from the documentation of Twilio's taskrouter.js: `Reservation.ConferenceOptions`.
"""

import re
from dataclasses import dataclass

from taskrouter_simulator.engine.call_model import StatusSubscription
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.instruction_parameters import (
    InstructionError,
    Parameters,
    check_choice,
    check_text,
    check_url,
    read_contact,
    read_events,
    read_flag,
    read_integer,
)
from taskrouter_simulator.engine.model import Workspace, parse_attributes

_INVALID = 40145
_INVALID_URL = 40159
_INVALID_SUPERVISOR = 40147
_METHODS = {"GET", "POST"}
_SUPERVISOR_MODES = {"monitor", "whisper", "barge"}
_EVENTS = frozenset({"start", "end", "join", "leave", "mute", "hold", "speaker"})
_DEFAULT_EVENTS = frozenset({"start", "end"})
_URLS = (
    "status_callback",
    "conference_status_callback",
    "recording_status_callback",
    "conference_recording_status_callback",
    "wait_url",
)
_FLAGS = ("record", "early_media", "beep_on_customer_entrance")
_CHOICES = {
    "status_callback_method": _METHODS,
    "conference_status_callback_method": _METHODS,
    "recording_status_callback_method": _METHODS,
    "conference_recording_status_callback_method": _METHODS,
    "wait_method": _METHODS,
    "beep": {"true", "false", "onEnter", "onExit"},
    "conference_record": {"true", "false", "record-from-start", "do-not-record"},
    "conference_trim": {"trim-silence", "do-not-trim"},
    "recording_channels": {"mono", "dual"},
    "region": {"us1", "us2", "ie1", "de1", "sg1", "br1", "au1", "jp1"},
    "jitter_buffer_size": {"small", "medium", "large", "off"},
}


@dataclass(frozen=True)
class ConferenceOptions:
    """The options of `conference` instructions that affect TaskRouter or status callbacks.

    Attributes:
        seconds: Maximum ringing time; None for the default.
        muted: Whether the Worker joins muted.
        start_on_enter: Whether the conference starts when the Worker joins.
        end_on_exit: Whether the conference ends when the Worker leaves.
        end_on_customer_exit: Whether the conference ends when the customer leaves.
        worker_call: Subscription to the progress of the Worker's call, if any.
        conference: Subscription to the conference's events, if any.
    """

    seconds: int | None
    muted: bool
    start_on_enter: bool
    end_on_exit: bool
    end_on_customer_exit: bool
    worker_call: StatusSubscription | None
    conference: StatusSubscription | None


def read_conference(parameters: Parameters, max_seconds: int) -> ConferenceOptions:
    """Validate a `conference` instruction's options; return those that `ConferenceOptions` has.

    Args:
        parameters: Parameters of the instruction.
        max_seconds: Maximum value of `timeout`.

    Raises:
        InstructionError: A parameter is invalid.
    """
    for name in _URLS:
        check_url(parameters, name, _INVALID_URL)
    for name, allowed in _CHOICES.items():
        check_choice(parameters, name, allowed, _INVALID)
    for name in _FLAGS:
        read_flag(parameters, name, _INVALID)
    for name in ("sip_auth_username", "sip_auth_password"):
        check_text(parameters, name, _INVALID)
    read_integer(parameters, "max_participants", 2, 250, _INVALID)
    call_events = read_events(parameters, "status_callback_event", _INVALID)
    conference_events = read_events(
        parameters,
        "conference_status_callback_event",
        _INVALID,
        allowed=_EVENTS,
        default=_DEFAULT_EVENTS,
    )
    return ConferenceOptions(
        seconds=read_integer(parameters, "timeout", 1, max_seconds, _INVALID),
        muted=read_flag(parameters, "muted", _INVALID),
        start_on_enter=read_flag(parameters, "start_conference_on_enter", _INVALID, default=True),
        end_on_exit=read_flag(parameters, "end_conference_on_exit", _INVALID),
        end_on_customer_exit=read_flag(parameters, "end_conference_on_customer_exit", _INVALID),
        worker_call=_subscription(parameters, "status_callback", call_events),
        conference=_subscription(parameters, "conference_status_callback", conference_events),
    )


def _subscription(
    parameters: Parameters, name: str, events: frozenset[str]
) -> StatusSubscription | None:
    """Return the subscription from validated parameters, or None if there is no URL."""
    url = parameters.get(name)
    method = parameters.get(f"{name}_method") or "POST"
    return StatusSubscription(url, method, events) if url else None


def read_supervisor(workspace: Workspace, parameters: Parameters) -> tuple[str, str]:
    """Return the supervisor's contact and the mode; `supervisor` may be a Worker SID.

    Raises:
        InstructionError: A parameter is invalid.
    """
    mode, supervisor = parameters.get("supervisor_mode"), parameters.get("supervisor")
    check_choice(parameters, "supervisor_mode", _SUPERVISOR_MODES, BadRequest.code)
    if re.fullmatch("WK[0-9a-fA-F]{32}", str(supervisor)):
        worker = workspace.workers.get(str(supervisor))
        if worker is None:
            message = f"supervisor {supervisor} does not exist"
            raise InstructionError(_INVALID_SUPERVISOR, message, "supervisor")
        contact = parse_attributes(worker.attributes).get("contact_uri")
        if not contact:
            message = f"supervisor {supervisor} has no contact_uri in its attributes"
            raise InstructionError(_INVALID_SUPERVISOR, message, "supervisor")
        supervisor = contact
    return read_contact(supervisor, "supervisor", _INVALID_SUPERVISOR), mode or "monitor"
