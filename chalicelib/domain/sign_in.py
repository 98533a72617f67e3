"""Sign-in to the console with OpenID Connect: attempts, roles and failures.

https://openid.net/specs/openid-connect-core-1_0.html describes the protocol.
"""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from chalicelib.domain.auth import Role
from chalicelib.domain.errors import BadRequest
from chalicelib.domain.json_text import JsonError, parse_json_object, read_json_object
from chalicelib.domain.messages import display_name

PAGE = "console/"
"""The console's page, relative to the root of the app."""

FRIENDLY_NAME = "friendly_name"
"""The value of OIDC_WORKER_ATTRIBUTE that stands for the Worker's friendly name."""

EVERYONE = "*"
"""The key in OIDC_ROLES that stands for everyone whom the provider signs in."""

EVERYONE_IS_A_WORKER = f'{{"{EVERYONE}": "{Role.WORKER}"}}'
"""Default of the setting OIDC_ROLES."""

_EMAIL, _VERIFIED = "email", "email_verified"
_MAX_NAME_LENGTH = 256
_RETURN_TO = re.compile(re.escape(PAGE) + r"(\?[A-Za-z0-9_.~=&-]{1,200})?")


class Failure(StrEnum):
    """Codes for sign-in failures, which the console's page explains."""

    EXPIRED = "expired"
    """The browser did not start this sign-in, or started it more than ten minutes ago."""

    PROVIDER_UNAVAILABLE = "provider_unavailable"
    PROVIDER_REFUSED = "provider_refused"
    """The provider reported an error, or did not accept the code or the client."""

    PROVIDER_INVALID = "provider_invalid"
    """A response or token from the provider is not valid."""

    TASKROUTER_UNAVAILABLE = "taskrouter_unavailable"
    SECRETS_UNAVAILABLE = "secrets_unavailable"
    REQUEST_FAILED = "request_failed"
    """The request is invalid, or the service failed."""

    NO_IDENTITY = "no_identity"
    """No valid claim identifies a Worker, or the email address is not verified."""

    NO_ROLE = "no_role"
    NO_WORKER = "no_worker"
    SEVERAL_WORKERS = "several_workers"


REFUSALS = frozenset(
    {Failure.NO_IDENTITY, Failure.NO_ROLE, Failure.NO_WORKER, Failure.SEVERAL_WORKERS}
)
"""Codes for people whom the provider has signed in, but who may not use the console."""

_PROVIDER_CODES = frozenset(
    {
        *("access_denied", "login_required", "interaction_required", "consent_required"),
        *("account_selection_required", "temporarily_unavailable", "server_error"),
    }
)
"""Error codes from a provider that the page may show
(https://openid.net/specs/openid-connect-core-1_0.html#AuthError)."""


class SignInError(Exception):
    """A sign-in failed.

    Args:
        code: the code for the page: a Failure, or one of the provider's error codes.
        message: full sentences for the user and the log, without secrets or personal data.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def provider_error(code: str) -> SignInError:
    """Return the error for a sign-in that the provider did not complete.

    Args:
        code: the error code that the provider sent through the browser; empty if there is none.
    """
    known = code if code in _PROVIDER_CODES else Failure.PROVIDER_REFUSED
    return SignInError(known, f"The identity provider did not complete the sign-in ({known}).")


@dataclass(frozen=True)
class Attempt:
    """A sign-in that a browser has started.

    Attributes:
        state: random text that the provider returns. It binds the response to the browser.
        nonce: random text that the ID token must contain.
        verifier: the PKCE code verifier (https://www.rfc-editor.org/rfc/rfc7636).
        redirect_uri: the absolute URL to which the provider redirects the browser.
        return_to: the page to show after the sign-in, relative to the root of the app.
    """

    state: str
    nonce: str
    verifier: str
    redirect_uri: str
    return_to: str

    @classmethod
    def new(cls, *, redirect_uri: str, return_to: str, new_secret: Callable[[], str]) -> "Attempt":
        """Return a new attempt.

        Args:
            redirect_uri: see `Attempt`.
            return_to: see `Attempt`; a value that `checked_return_to` returned.
            new_secret: returns 43 to 128 random characters, each a letter, digit, "-" or "_".
        """
        return cls(new_secret(), new_secret(), new_secret(), redirect_uri, return_to)

    @property
    def challenge(self) -> str:
        """The PKCE code challenge, for the method S256."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def spread_lifetime(seconds: int, random_below: Callable[[int], int]) -> int:
    """Return a token's lifetime: *seconds* minus a random amount of up to a tenth.

    As a result, the sessions of agents who sign in together at the start of a shift end at
    different times.

    Args:
        seconds: the maximum lifetime.
        random_below: returns a random integer of at least 0 and less than its argument.
    """
    return seconds - random_below(seconds // 10 + 1)


def checked_return_to(text: str) -> str:
    """Return *text* if it is an allowed page to show after a sign-in.

    Only the console's page is allowed, with or without a query string. Any other URL could lead to
    a site that imitates the console, or start another sign-in.

    Raises:
        BadRequest: The page is not allowed.
    """
    if not _RETURN_TO.fullmatch(text):
        raise BadRequest(
            f'return_to must be "{PAGE}", optionally followed by "?" and 1 to 200 of these '
            "characters: letters, digits and _ . ~ = & -."
        )
    return text


@dataclass(frozen=True)
class SignInPolicy:
    """The rules that determine a person's role and Worker from claims about the person.

    Attributes:
        worker_claim: the claim whose value identifies the person's Worker.
        worker_attribute: the Worker attribute with the same value, or ``friendly_name``.
        role_claim: the claim whose values determine the role, such as ``groups``.
        roles: the roles, by value of `role_claim`; EVERYONE stands for all people.
    """

    worker_claim: str
    worker_attribute: str
    role_claim: str
    roles: Mapping[str, Role]

    @property
    def claims(self) -> list[str]:
        """The names of the claims that the policy needs."""
        needs_role_claim = self.roles.keys() - {EVERYONE}
        return [
            self.worker_claim,
            *([_VERIFIED] if self.worker_claim == _EMAIL else []),
            *([self.role_claim] if needs_role_claim else []),
        ]

    def find_role(self, claims: Mapping[str, Any]) -> Role | None:
        """Return the role of a person, or None if the person has no access.

        If several roles apply, the supervisor role takes precedence.
        """
        listed = claims.get(self.role_claim)
        values = listed if isinstance(listed, list) else [listed]
        names = {EVERYONE, *(value for value in values if isinstance(value, str))}
        roles = {role for name, role in self.roles.items() if name in names}
        return next((role for role in (Role.SUPERVISOR, Role.WORKER) if role in roles), None)

    def find_name(self, claims: Mapping[str, Any]) -> str | None:
        """Return the value that identifies a person's Worker, or None.

        An email address is used only if the provider has verified the address. Otherwise, people
        could sign in as a colleague by entering the colleague's address in their own profile.
        """
        if self.worker_claim == _EMAIL and claims.get(_VERIFIED) is not True:
            return None
        name = claims.get(self.worker_claim)
        if isinstance(name, str) and 0 < len(name) <= _MAX_NAME_LENGTH and name.isprintable():
            return name
        return None


def find_workers_query(attribute: str, value: str) -> dict[str, str] | None:
    """Return the SDK parameters that find the Workers whose attribute has the given value.

    Returns None if an expression would contain a value with a quotation mark or a backslash,
    because TaskRouter does not document how to escape these characters.

    Args:
        attribute: the name of a Worker attribute, or ``friendly_name``.
        value: the value.
    """
    if attribute == FRIENDLY_NAME:
        return {"friendly_name": value}
    if '"' in value or "\\" in value:
        return None
    return {"target_workers_expression": f'{attribute} == "{value}"'}


def read_attribute(friendly_name: str, attributes: str, attribute: str) -> Any:
    """Return the value of a Worker's attribute; None if there is no such attribute.

    Args:
        friendly_name: the Worker's friendly name.
        attributes: the Worker's attributes, as JSON text.
        attribute: the path of the attribute, such as ``sso.email``, or ``friendly_name``.
    """
    if attribute == FRIENDLY_NAME:
        return friendly_name
    value: Any = read_json_object(attributes)
    for name in attribute.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def parse_roles(text: str) -> Mapping[str, Role]:
    """Parse the setting OIDC_ROLES: a JSON object with a role for each value of a claim.

    Raises:
        ValueError: The text is invalid. The message is a predicate.
    """
    try:
        roles = parse_json_object(text)
    except JsonError as error:
        raise ValueError(f"is not a valid JSON object: {error}") from error
    for value, role in roles.items():
        allowed = (Role.WORKER,) if value == EVERYONE else (Role.WORKER, Role.SUPERVISOR)
        if role not in allowed:
            raise ValueError(f'must map "{display_name(value)}" to {" or ".join(allowed)}')
    return {value: Role(role) for value, role in roles.items()}
