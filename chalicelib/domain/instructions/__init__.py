"""Assignment instructions: what a callback may be answered with, or an accept may carry over REST.

Everything that is known of a parameter stands once, beside its field in `catalogue`: what it may
be (`kinds`), its names, whether it must be there, and what TaskRouter takes where it is not.

https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks
https://www.twilio.com/docs/taskrouter/api/reservations
"""

from chalicelib.domain.instructions.definitions import (
    INSTRUCTION_TYPES,
    WITHOUT_PARAMETERS,
    Accept,
    Call,
    Conference,
    Defer,
    Dequeue,
    Instruction,
    InvalidInstruction,
    ParameterError,
    Redirect,
    Reject,
)
from chalicelib.domain.instructions.parsing import (
    instruction_type,
    parse_instruction,
    without_secrets,
)

__all__ = [
    "INSTRUCTION_TYPES",
    "WITHOUT_PARAMETERS",
    "Accept",
    "Call",
    "Conference",
    "Defer",
    "Dequeue",
    "Instruction",
    "InvalidInstruction",
    "ParameterError",
    "Redirect",
    "Reject",
    "instruction_type",
    "parse_instruction",
    "without_secrets",
]
