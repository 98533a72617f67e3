"""Roles, their permissions, and the authenticated caller.

Everything that `PERMISSIONS` does not list is denied. ``docs/security.md`` shows the same table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from chalicelib.domain.errors import Forbidden


class Role(StrEnum):
    """The roles that a token's TaskRouter grant can name."""

    WORKER = "worker"
    SUPERVISOR = "supervisor"
    SERVICE = "service"

    @property
    def has_worker(self) -> bool:
        """Whether a token with this role must name a Worker."""
        return Scope.OWN_WORKER in PERMISSIONS.get(self, {}).values()


class Action(StrEnum):
    """The actions that the routes perform for an authenticated caller."""

    LIST_RESERVATIONS = "list Reservations"
    READ_RESERVATION = "read a Reservation"
    ACCEPT_RESERVATION = "accept a Reservation"
    REJECT_RESERVATION = "reject a Reservation"
    COMPLETE_RESERVATION = "complete a Reservation"
    CREATE_TASK = "create a Task"


class Scope(StrEnum):
    """The Workers whose Reservations an action may affect."""

    OWN_WORKER = "own Worker"
    ANY_WORKER = "any Worker"


PERMISSIONS: Mapping[Role, Mapping[Action, Scope]] = {
    Role.WORKER: {
        Action.LIST_RESERVATIONS: Scope.OWN_WORKER,
        Action.READ_RESERVATION: Scope.OWN_WORKER,
        Action.ACCEPT_RESERVATION: Scope.OWN_WORKER,
        Action.REJECT_RESERVATION: Scope.OWN_WORKER,
        Action.COMPLETE_RESERVATION: Scope.OWN_WORKER,
    },
    Role.SUPERVISOR: dict.fromkeys(Action, Scope.ANY_WORKER),
    Role.SERVICE: dict.fromkeys(Action, Scope.ANY_WORKER),
}
"""The actions that each role may perform; all others are denied."""


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
        """Return the SID of the only Worker that the action may affect; None for any.

        Raises:
            Forbidden: The caller may not perform the action at all.
        """
        scope = PERMISSIONS.get(self.role, {}).get(action)
        if scope is Scope.ANY_WORKER:
            return None
        if scope is Scope.OWN_WORKER and self.worker_sid is not None:
            return self.worker_sid
        raise Forbidden(f"A token with the role {self.role} may not {action}.")

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
                f"A token with the role {self.role} may {action} only for its own Worker."
            )
