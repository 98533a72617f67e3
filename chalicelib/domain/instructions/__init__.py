"""Assignment instructions, which answer callbacks or accompany accept requests.

`definitions` defines each instruction and parameter, `parameter_types` defines the allowed values,
and `parsing` reads instructions from JSON.

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
