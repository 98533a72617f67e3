"""Status callbacks: https://www.twilio.com/docs/voice/api/call-resource#statuscallback."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

from taskrouter_simulator.engine.call_model import Call, StatusSubscription
from taskrouter_simulator.engine.core import Engine, StatusCallback


def report(engine: Engine, call: Call, event: str, call_status: str | None = None) -> None:
    """Report the progress of a call to its status callback, if any.

    Args:
        engine: The engine.
        call: The call.
        event: "initiated", "ringing", "answered" or "completed".
        call_status: Twilio's `CallStatus`; None for the call's current status.
    """
    parameters = call.parameters(engine.account_sid)
    parameters |= {
        "CallStatus": call_status or call.status,
        "CallbackSource": "call-progress-events",
    }
    if event == "completed":
        answered = engine.now() if call.answered is None else call.answered
        parameters["CallDuration"] = str(int(engine.seconds_since(answered)))
    if send(engine, call.status_callback, event, call.events_sent, parameters):
        call.events_sent += 1


def send(
    engine: Engine,
    subscription: StatusSubscription | None,
    event: str,
    sequence: int,
    parameters: Mapping[str, str],
) -> bool:
    """Send a status callback if the subscription contains the event; return whether it was sent."""
    if subscription is None or event not in subscription.events:
        return False
    common = {
        "AccountSid": engine.account_sid,
        "Timestamp": format_datetime(datetime.fromtimestamp(int(engine.now()), UTC)),
        "SequenceNumber": str(sequence),
    }
    values = {**parameters, **common, **subscription.parameters}
    engine.emit(StatusCallback(subscription.method, subscription.url, values))
    return True
