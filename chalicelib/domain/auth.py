"""Roles, their permissions, and the authenticated caller.

Everything that `PERMISSIONS` does not list is denied. ``docs/security.md`` shows the same table.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from chalicelib.domain.errors import Forbidden
from chalicelib.domain.instructions import INSTRUCTION_TYPES, Instruction
from chalicelib.domain.json_text import JsonError, parse_json_object
from chalicelib.domain.messages import display_name, nearest_name
from chalicelib.domain.reservations import RINGING


class Role(StrEnum):
    """The roles that a token's TaskRouter grant can contain."""

    WORKER = "worker"
    SUPERVISOR = "supervisor"
    SERVICE = "service"

    @property
    def has_worker(self) -> bool:
        """Whether a token with this role must contain the SID of a Worker."""
        return Scope.OWN_WORKER in PERMISSIONS.get(self, {}).values()


class Action(StrEnum):
    """The actions that the routes perform for an authenticated caller."""

    LIST_RESERVATIONS = "list Reservations"
    READ_RESERVATION = "read a Reservation"
    ACCEPT_RESERVATION = "accept a Reservation"
    REJECT_RESERVATION = "reject a Reservation"
    COMPLETE_RESERVATION = "complete a Reservation"
    CREATE_TASK = "create a Task"
    SEE_OVERVIEW = "see the overview"
    LIST_ACTIVITIES = "list Activities"
    SWITCH_ACTIVITY = "change an Activity"
    SEE_CALLBACKS = "see callbacks"
    SEND_CALLBACK_AGAIN = "send a callback again"
    SEE_STATISTICS = "see statistics"


class Scope(StrEnum):
    """The Workers that an action may affect."""

    OWN_WORKER = "own Worker"
    ANY_WORKER = "any Worker"


PERMISSIONS: Mapping[Role, Mapping[Action, Scope]] = {
    Role.WORKER: {
        Action.LIST_RESERVATIONS: Scope.OWN_WORKER,
        Action.READ_RESERVATION: Scope.OWN_WORKER,
        Action.ACCEPT_RESERVATION: Scope.OWN_WORKER,
        Action.REJECT_RESERVATION: Scope.OWN_WORKER,
        Action.COMPLETE_RESERVATION: Scope.OWN_WORKER,
        Action.SEE_OVERVIEW: Scope.OWN_WORKER,
        Action.LIST_ACTIVITIES: Scope.OWN_WORKER,
        Action.SWITCH_ACTIVITY: Scope.OWN_WORKER,
    },
    Role.SUPERVISOR: dict.fromkeys(Action, Scope.ANY_WORKER),
    Role.SERVICE: dict.fromkeys(set(Action) - {Action.SEND_CALLBACK_AGAIN}, Scope.ANY_WORKER),
}
"""The actions that each role may perform; all others are denied."""


InstructionPermissions = Mapping[str, frozenset[str]]
"""For each instruction that a Worker may send, the parameters that the Worker may set freely."""

_OWN_PHONE = ("from", "timeout")
_OWN_CONFERENCE = (
    *("post_work_activity_sid", "muted", "beep", "start_conference_on_enter"),
    *("end_conference_on_exit", "end_conference_on_customer_exit", "beep_on_customer_entrance"),
    *("early_media", "max_participants", "region", "jitter_buffer_size"),
    *("sip_auth_username", "sip_auth_password"),
)

WORKER_INSTRUCTIONS = json.dumps(
    {
        "dequeue": [*_OWN_PHONE, "post_work_activity_sid"],
        "call": [*_OWN_PHONE, "accept"],
        "redirect": ["accept"],
        "conference": [*_OWN_PHONE, *_OWN_CONFERENCE],
    }
)
"""Default of the setting WORKER_INSTRUCTIONS. It allows no recordings, URLs, other phones or other
calls."""

OWN_VALUES: Mapping[str, str] = {
    "to": "the contact_uri of its Worker",
    "call_sid": "the call_sid of the Reservation's Task",
}
"""For each of these parameters, a description of the only value that a Worker may set if the
permissions do not list the parameter."""


def parse_instruction_permissions(text: str) -> InstructionPermissions:
    """Parse the setting WORKER_INSTRUCTIONS: a JSON object with lists of parameters.

    Raises:
        ValueError: The text is invalid. The message is a predicate.
    """
    try:
        permissions = parse_json_object(text)
    except JsonError as error:
        raise ValueError(f"is not a valid JSON object: {error}") from error
    for name, parameters in permissions.items():
        if name not in RINGING:
            allowed = nearest_name(name, RINGING) or f"one of {', '.join(RINGING)}"
            raise ValueError(
                f'must not contain the instruction "{display_name(name)}": write {allowed}'
            )
        if not isinstance(parameters, list):
            raise ValueError(f'must map "{name}" to a list of parameters')  # noqa: TRY004  not a programming error
        known = INSTRUCTION_TYPES[name].parameters()
        for parameter in map(str, parameters):
            if parameter not in known:
                similar = nearest_name(parameter, known, INSTRUCTION_TYPES[name].hints())
                allowed = similar or f"one of {', '.join(known)}"
                raise ValueError(
                    f'must not list "{display_name(parameter)}" for the "{name}" instruction, '
                    f"which has no such parameter: write {allowed}"
                )
    return {name: frozenset(parameters) for name, parameters in permissions.items()}


@dataclass(frozen=True)
class Principal:
    """A caller with a valid token.

    Attributes:
        role: the role in the token.
        worker_sid: SID (WK…) of the caller's own Worker; None if the role has no Worker.
        identity: the caller's name as set by the token's issuer, if any.
    """

    role: Role
    worker_sid: str | None = None
    identity: str | None = None

    @property
    def name(self) -> str:
        """The name in records and logs: ``worker:WK…``, ``supervisor:ann``, ``service``."""
        name = self.worker_sid or self.identity
        return f"{self.role}:{name}" if name else str(self.role)

    def confined_to(self, action: Action) -> str | None:
        """Return the SID of the only Worker that the action may affect; None for any Worker.

        Raises:
            Forbidden: The caller may not perform the action at all.
        """
        scope = PERMISSIONS.get(self.role, {}).get(action)
        if scope is Scope.ANY_WORKER:
            return None
        if scope is Scope.OWN_WORKER and self.worker_sid is not None:
            return self.worker_sid
        raise Forbidden(f"A token with the `{self.role}` role may not {action}.")

    def authorize(self, action: Action, *, worker_sid: str | None = None) -> None:
        """Check that the caller may perform an action.

        Args:
            action: the action.
            worker_sid: SID (WK…) of the affected Worker; None if not known yet.

        Raises:
            Forbidden: The caller may not perform the action at all, or may not perform it for this
                Worker.
        """
        own_worker_sid = self.confined_to(action)
        if worker_sid is not None and own_worker_sid not in (None, worker_sid):
            raise Forbidden(
                f"A token with the `{self.role}` role may {action} only for its own Worker."
            )

    def authorize_instruction(
        self,
        instruction: Instruction,
        permissions: InstructionPermissions,
        own_values: Mapping[str, object],
    ) -> None:
        """Check that the caller may send an instruction with an accept request.

        Args:
            instruction: the instruction.
            permissions: the instructions that a Worker may send, and the parameters that the Worker
                may set freely.
            own_values: for each parameter in OWN_VALUES, the value if it is known.

        Raises:
            Forbidden: The caller is a Worker who may not send the instruction, or may not set a
                parameter to the given value. The message names the instruction and, if one is
                refused, the parameter.
        """
        if self.confined_to(Action.ACCEPT_RESERVATION) is None:
            return
        name, caller = instruction.name, f"A token with the `{self.role}` role"
        if name not in permissions:
            raise Forbidden(f"{caller} may not send the `{name}` instruction.")
        for parameter, value in instruction.answer.items():
            if parameter == "instruction" or parameter in permissions[name]:
                continue
            if parameter not in OWN_VALUES:
                raise Forbidden(f"{caller} may not set `{parameter}` in the `{name}` instruction.")
            if value != own_values.get(parameter):
                own_value = OWN_VALUES[parameter]
                raise Forbidden(
                    f"{caller} may set `{parameter}` in the `{name}` instruction only to "
                    f"{own_value}."
                )
