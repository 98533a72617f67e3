"""Conferences: participants, start, end and status callbacks.

See https://www.twilio.com/docs/voice/twiml/conference for the events and their parameters.
"""

from taskrouter_simulator.engine.call_model import Conference, Participant, StatusSubscription
from taskrouter_simulator.engine.calls import status
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest

_MAX_CONFERENCES = 1000
_MIN_PARTICIPANTS = 2
"""Minimum number of participants for a conference to start."""
_SUBSCRIBED_AS = {
    "conference-start": "start",
    "conference-end": "end",
    "participant-join": "join",
    "participant-leave": "leave",
    "participant-mute": "mute",
    "participant-unmute": "mute",
    "participant-hold": "hold",
    "participant-unhold": "hold",
    "participant-speech-start": "speaker",
    "participant-speech-stop": "speaker",
}
"""Names used in `ConferenceStatusCallbackEvent`, keyed by the event's `StatusCallbackEvent`."""


def find(engine: Engine, task_sid: str) -> Conference | None:
    """Return a Task's active conference, or None."""
    for conference in engine.conferences.values():
        if conference.task_sid == task_sid and not conference.has_ended:
            return conference
    return None


def create(engine: Engine, task_sid: str, subscription: StatusSubscription | None) -> Conference:
    """Create a Task's conference; if there are too many, drop the oldest ended conference."""
    conference = Conference(
        **vars(engine.new_resource("CF")), task_sid=task_sid, subscription=subscription
    )
    engine.conferences[conference.sid] = conference
    if len(engine.conferences) > _MAX_CONFERENCES:
        ended = next((item for item in engine.conferences.values() if item.has_ended), None)
        if ended:
            del engine.conferences[ended.sid]
    return conference


def join(engine: Engine, conference: Conference, participant: Participant) -> None:
    """Add a participant, and start the conference if it has enough participants.

    A conference needs at least two participants to start, and at least one of the participants
    must have `start_conference_on_enter`.
    """
    conference.participants[participant.call_sid] = participant
    if call := engine.calls.get(participant.call_sid):
        call.conference_sid = conference.sid
        call.status = "in-progress"
    _notify(engine, conference, "participant-join", participant)
    members = conference.participants.values()
    has_starter = any(member.start_conference_on_enter for member in members)
    if not conference.has_started and len(members) >= _MIN_PARTICIPANTS and has_starter:
        conference.has_started = True
        _notify(engine, conference, "conference-start")


def leave(engine: Engine, conference: Conference, call_sid: str, call_status: str) -> list[str]:
    """Remove a participant, and end the conference if necessary.

    A conference ends when its last participant leaves, or when a participant with
    `end_conference_on_exit` leaves. Callers whose calls are not simulated leave together with the
    last participant whose call is simulated.

    Args:
        engine: The engine.
        conference: The conference.
        call_sid: SID of the participant's call.
        call_status: Status of the participant's call.

    Returns:
        The SIDs of the calls that had to leave because the conference ended.
    """
    participant = conference.participants[call_sid]
    _remove(engine, conference, participant, "participant_hung_up", call_status)
    is_last = not any(sid in engine.calls for sid in conference.participants)
    if not (participant.end_conference_on_exit or is_last):
        return []
    others = list(conference.participants.values())
    for other in others:
        _remove(engine, conference, other, "moderator_ended_conference", "in-progress")
    conference.has_ended = True
    cause = "last-participant" if is_last else "participant-with-end-conference-on-exit"
    reason = f"{cause}-left"
    _notify(
        engine, conference, "conference-end",
        CallSidEndingConference=call_sid, ReasonConferenceEnded=reason,
        Reason=f"Participant {call_sid} left: {reason}",
    )  # fmt: skip
    return [other.call_sid for other in others]


def update(
    engine: Engine,
    conference: Conference,
    call_sid: str,
    *,
    muted: bool | None = None,
    hold: bool | None = None,
    speaking: bool | None = None,
    end_conference_on_exit: bool | None = None,
) -> None:
    """Update a participant as Twilio's Participant resource does; None leaves a value unchanged.

    Args:
        engine: The engine.
        conference: The conference.
        call_sid: SID of the participant's call.
        muted: Whether the participant is muted.
        hold: Whether the participant is on hold.
        speaking: True if the participant starts speaking, False if the participant stops.
        end_conference_on_exit: Whether the conference ends when the participant leaves.
    """
    participant = conference.participants[call_sid]
    if muted is not None and muted != participant.muted:
        participant.muted = muted
        event = "participant-mute" if muted else "participant-unmute"
        _notify(engine, conference, event, participant)
    if hold is not None and hold != participant.hold:
        participant.hold = hold
        event = "participant-hold" if hold else "participant-unhold"
        _notify(engine, conference, event, participant)
    if speaking is not None:
        event = "participant-speech-start" if speaking else "participant-speech-stop"
        _notify(engine, conference, event, participant)
    if end_conference_on_exit is not None:
        participant.end_conference_on_exit = end_conference_on_exit


def require(engine: Engine, conference_sid: str, call_sid: str) -> Conference:
    """Return the conference that a call is in.

    Raises:
        BadRequest: The call is not in a conference.
    """
    conference = engine.conferences.get(conference_sid)
    if conference is None:
        raise BadRequest(f"Call {call_sid} is not in a conference")
    return conference


def _remove(
    engine: Engine, conference: Conference, participant: Participant, reason: str, call_status: str
) -> None:
    del conference.participants[participant.call_sid]
    if call := engine.calls.get(participant.call_sid):
        call.conference_sid = ""
    _notify(
        engine, conference, "participant-leave", participant,
        ReasonParticipantLeft=reason, ParticipantCallStatus=call_status,
    )  # fmt: skip


def _notify(
    engine: Engine,
    conference: Conference,
    event: str,
    participant: Participant | None = None,
    **parameters: str,
) -> None:
    """Send a status callback if the conference's subscription contains the event."""
    if participant:
        flags = {
            "Muted": participant.muted,
            "Hold": participant.hold,
            "Coaching": participant.coaching,
            "EndConferenceOnExit": participant.end_conference_on_exit,
            "StartConferenceOnEnter": participant.start_conference_on_enter,
        }
        parameters |= {name: str(value).lower() for name, value in flags.items()}
        parameters["CallSid"] = participant.call_sid
    parameters |= {
        "ConferenceSid": conference.sid,
        "FriendlyName": conference.task_sid,
        "StatusCallbackEvent": event,
    }
    sequence = conference.events_sent + 1
    if status.send(engine, conference.subscription, _SUBSCRIBED_AS[event], sequence, parameters):
        conference.events_sent = sequence
