"""Identifies a person whom the company's identity provider has signed in."""

from collections.abc import Mapping
from typing import Any, Protocol

from chalicelib.domain.auth import Principal, Role
from chalicelib.domain.sign_in import Failure, SignInError, SignInPolicy


class WorkerDirectory(Protocol):
    """The Workers of the Workspace."""

    def find_workers(self, attribute: str, value: str) -> list[str]:
        """Return the SIDs (WK…) of the Workers whose attribute has exactly this value.

        Args:
            attribute: the name of a Worker attribute, or ``friendly_name``.
            value: the value, a string.
        """


def identify(
    claims: Mapping[str, Any], policy: SignInPolicy, directory: WorkerDirectory
) -> Principal:
    """Return the Principal that a person may act as.

    Args:
        claims: the verified claims about the person, with ``sub``.
        policy: the rules that determine the role and the Worker.
        directory: the Workers, which are searched only if the person has the worker role.

    Raises:
        SignInError: the person has no role, or has the worker role and the claims do not identify
            exactly one Worker.
        TaskRouterError: the request to TaskRouter failed.
    """
    role, name = policy.find_role(claims), policy.find_name(claims)
    if role is None:
        raise SignInError(
            Failure.NO_ROLE,
            "Your account may not use this console. Ask your administrator for access "
            "(OIDC_ROLE_CLAIM, OIDC_ROLES).",
        )
    if role is Role.SUPERVISOR:
        return Principal(role, identity=name or str(claims["sub"]))
    if name is None:
        verified = " with a verified address" if policy.worker_claim == "email" else ""
        raise SignInError(
            Failure.NO_IDENTITY,
            f'The identity provider sent no valid "{policy.worker_claim}" claim{verified} '
            "(OIDC_WORKER_CLAIM).",
        )
    workers = directory.find_workers(policy.worker_attribute, name)
    if len(workers) != 1:
        failure = Failure.SEVERAL_WORKERS if workers else Failure.NO_WORKER
        attribute = policy.worker_attribute
        found = "several Workers" if workers else "no Worker"
        raise SignInError(
            failure,
            f"TaskRouter has {found} whose {attribute} equals your {policy.worker_claim}. "
            "Ask your administrator to correct this.",
        )
    return Principal(role, worker_sid=workers[0], identity=name)
