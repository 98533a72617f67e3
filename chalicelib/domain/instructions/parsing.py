"""Instructions as JSON objects: read, and shown."""

from collections.abc import Mapping
from typing import Any

from chalicelib.domain.instructions.definitions import (
    INSTRUCTION_TYPES,
    MAX_SHOWN_NAME,
    Defer,
    Instruction,
    InvalidInstruction,
    ParameterError,
    suggestion,
)


def instruction_type(name: object) -> type[Instruction]:
    """Return the instruction of that name; raises InvalidInstruction where there is none."""
    if name is None:
        message = f"instruction is missing: it must be one of {', '.join(INSTRUCTION_TYPES)}."
    elif isinstance(name, str):
        if name in INSTRUCTION_TYPES:
            return INSTRUCTION_TYPES[name]
        shown = name[:MAX_SHOWN_NAME]
        message = f'There is no instruction "{shown}"{suggestion(name, INSTRUCTION_TYPES)}'
    else:
        message = f"instruction must be a text, one of {', '.join(INSTRUCTION_TYPES)}."
    raise InvalidInstruction([ParameterError("instruction", message)])


def parse_instruction(mapping: Mapping[str, Any]) -> Instruction:
    """Read an instruction: ``instruction`` and its parameters, by their JSON names.

    Raises:
        InvalidInstruction: TaskRouter would refuse it; each fault names a parameter and says what
            to write instead.
    """
    given = dict(mapping)
    kind = instruction_type(given.pop("instruction", None))
    if faults := kind.faults(given):
        raise InvalidInstruction(faults)
    known = kind.parameters()
    return kind(**{known[name].attribute: value for name, value in given.items()})


def without_secrets(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a callback was answered with, for eyes: who reads it may not know a password."""
    known = INSTRUCTION_TYPES.get(answer.get("instruction", ""), Defer).parameters()
    return {
        name: "(secret)" if name in known and known[name].secret else value
        for name, value in answer.items()
    }
