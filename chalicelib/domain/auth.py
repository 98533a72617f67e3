"""Who calls: the role that a token carries, and what it may do."""

from dataclasses import dataclass
from enum import StrEnum

from chalicelib.domain.errors import Forbidden


class Role(StrEnum):
    """The roles that a token can carry in its TaskRouter grant."""

    WORKER = "worker"
    SUPERVISOR = "supervisor"
    SERVICE = "service"


@dataclass(frozen=True)
class Principal:
    """A caller whose token holds.

    Attributes:
        role: what it may do.
        worker_sid: the Worker (WK…) it is; always there for the role ``worker``.
        identity: the name that the token's issuer gave it, if any.
    """

    role: Role
    worker_sid: str | None = None
    identity: str | None = None

    @property
    def name(self) -> str:
        """How records and logs name it: ``worker:WK…``, ``supervisor:ann``, ``service``."""
        who = self.worker_sid if self.role is Role.WORKER else self.identity
        return f"{self.role}:{who}" if who else str(self.role)

    @property
    def confined_to(self) -> str | None:
        """The Worker SID whose Reservations are the only ones it may touch, or None for all."""
        return self.worker_sid if self.role is Role.WORKER else None

    def must_reach(self, worker_sid: str) -> None:
        """Raise Forbidden unless it may see and decide that Worker's Reservations."""
        if self.confined_to not in (None, worker_sid):
            raise Forbidden("This token may only see and decide its own Worker's Reservations.")

    def must_create_tasks(self) -> None:
        """Raise Forbidden unless it may create Tasks."""
        if self.role is Role.WORKER:
            raise Forbidden("Creating a Task takes a token of the role service or supervisor.")
