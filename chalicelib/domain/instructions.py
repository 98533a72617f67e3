"""Assignment instructions: what a callback may be answered with.

https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks
"""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Defer:
    """Decide later, over REST: the documented empty JSON object."""

    def render(self) -> dict[str, Any]:
        """Return the answer as TaskRouter wants it."""
        return {}


@dataclass(frozen=True)
class Accept:
    """Accept the Reservation; TaskRouter assigns the Task and does nothing further."""

    def render(self) -> dict[str, Any]:
        """Return the answer as TaskRouter wants it."""
        return {"instruction": "accept"}


Instruction = Defer | Accept

BY_NAME: dict[str, Instruction] = {"defer": Defer(), "accept": Accept()}
"""The instructions that the setting ASSIGNMENT_INSTRUCTION may name."""
