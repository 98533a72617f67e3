"""Parsing of instructions from JSON objects, and redaction of their secrets."""

from collections.abc import Mapping
from typing import Any

from chalicelib.domain.instructions.definitions import (
    INSTRUCTION_TYPES,
    Defer,
    Instruction,
    InvalidInstruction,
    ParameterError,
)
from chalicelib.domain.messages import display_name, suggestion


def instruction_type(name: object) -> type[Instruction]:
    """Return the class of the instruction with this name.

    Raises:
        InvalidInstruction: There is no such instruction, or the name is missing.
    """
    if isinstance(name, str) and name in INSTRUCTION_TYPES:
        return INSTRUCTION_TYPES[name]
    allowed = ", ".join(INSTRUCTION_TYPES)
    if name is None:
        message = f"instruction is missing. Use one of {allowed}."
    elif isinstance(name, str):
        message = (
            f'There is no instruction "{display_name(name)}"{suggestion(name, INSTRUCTION_TYPES)}'
        )
    else:
        message = f"instruction must be a string, one of {allowed}."
    raise InvalidInstruction([ParameterError("instruction", message)])


def parse_instruction(mapping: Mapping[str, Any]) -> Instruction:
    """Read an instruction from a JSON object with ``instruction`` and the parameters.

    Raises:
        InvalidInstruction: TaskRouter would refuse the instruction. Each error names a parameter
            and explains the mistake.
    """
    values = dict(mapping)
    instruction = instruction_type(values.pop("instruction", None))
    if errors := instruction.errors_in(values):
        raise InvalidInstruction(errors)
    definitions = instruction.parameters()
    return instruction(**{definitions[name].attribute: value for name, value in values.items()})


def without_secrets(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return an instruction's JSON object with each secret replaced by ``(secret)``."""
    definitions = INSTRUCTION_TYPES.get(answer.get("instruction", ""), Defer).parameters()
    return {
        name: "(secret)" if name in definitions and definitions[name].secret else value
        for name, value in answer.items()
    }
