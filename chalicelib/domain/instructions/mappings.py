"""Instructions as JSON objects: read, and shown."""

from collections.abc import Mapping
from typing import Any

from chalicelib.domain.instructions.base import (
    SHOWN,
    Fault,
    Instruction,
    InvalidInstruction,
    instead,
)
from chalicelib.domain.instructions.catalogue import CATALOGUE, Defer


def kind_of(name: object) -> type[Instruction]:
    """Return the instruction of that name; raises InvalidInstruction where there is none."""
    if name is None:
        message = f"instruction is missing: it must be one of {', '.join(CATALOGUE)}."
    elif isinstance(name, str):
        if name in CATALOGUE:
            return CATALOGUE[name]
        message = f'There is no instruction "{name[:SHOWN]}"{instead(name, CATALOGUE)}'
    else:
        message = f"instruction must be a text, one of {', '.join(CATALOGUE)}."
    raise InvalidInstruction([Fault("instruction", message)])


def parse(mapping: Mapping[str, Any]) -> Instruction:
    """Read an instruction: ``instruction`` and its parameters, by their JSON names.

    Raises:
        InvalidInstruction: TaskRouter would refuse it; each fault names a parameter and says what
            to write instead.
    """
    given = dict(mapping)
    kind = kind_of(given.pop("instruction", None))
    if faults := kind.faults(given):
        raise InvalidInstruction(faults)
    known = kind.parameters()
    return kind(**{known[name].attribute: value for name, value in given.items()})


def without_secrets(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a callback was answered with, for eyes: who reads it may not know a password."""
    known = CATALOGUE.get(answer.get("instruction", ""), Defer).parameters()
    return {
        name: "(secret)" if name in known and known[name].secret else value
        for name, value in answer.items()
    }
