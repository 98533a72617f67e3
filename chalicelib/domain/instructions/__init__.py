"""Assignment instructions: what a callback may be answered with, or an accept may carry over REST.

Everything that is known of a parameter stands once, beside its field in `catalogue`: what it may
be (`kinds`), its names, whether it must be there, and what TaskRouter takes where it is not.

https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks
https://www.twilio.com/docs/taskrouter/api/reservations
"""

from chalicelib.domain.instructions.base import Fault, Instruction, InvalidInstruction
from chalicelib.domain.instructions.catalogue import (
    BY_NAME,
    CATALOGUE,
    Accept,
    Call,
    Conference,
    Defer,
    Dequeue,
    Redirect,
    Reject,
)
from chalicelib.domain.instructions.mappings import kind_of, parse, without_secrets

__all__ = [
    "BY_NAME",
    "CATALOGUE",
    "Accept",
    "Call",
    "Conference",
    "Defer",
    "Dequeue",
    "Fault",
    "Instruction",
    "InvalidInstruction",
    "Redirect",
    "Reject",
    "kind_of",
    "parse",
    "without_secrets",
]
