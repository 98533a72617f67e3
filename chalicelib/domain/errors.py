"""The service's errors, with the HTTP status and ``Code`` of the response.

::

    AppError
    ├── BadRequest               400  invalid request
    │   └── TooLarge             413  body too large
    ├── Unauthorized             401  missing token
    │   └── InvalidToken         401  token that does not authenticate its sender
    ├── Forbidden                403  action not permitted
    │   └── InvalidSignature     403  no valid Twilio signature
    ├── NotFound                 404  unknown resource
    ├── ReservationNotPending    409  ended with, or being changed to, another status
    ├── InstructionAlreadySent   409  another instruction was already sent
    ├── ReservationGone          410  TaskRouter no longer has the Reservation
    ├── KeyReused                422  Idempotency-Key already used for another request
    ├── Unsettled                503  request sent to TaskRouter, outcome not known yet
    ├── StoreUnavailable         503  DynamoDB failed or was too slow
    ├── SecretsUnavailable       503  secrets can't be read
    ├── SweepFailed              500  fails the sweep's invocation, so that an alarm fires
    └── TaskRouterError
        ├── TaskRouterRefused    400  TaskRouter returned 400 or another 4xx
        ├── TaskRouterNotFound   404  TaskRouter returned 404
        ├── TaskRouterDenied     502  TaskRouter returned 401 or 403: wrong credentials
        └── TaskRouterUnavailable 503 timeout, lost connection or 5xx: outcome unknown
            └── TaskRouterThrottled 503  TaskRouter returned 429: request not processed
"""

from collections.abc import Iterable
from typing import ClassVar


class AppError(Exception):
    """Base class of the service's errors.

    Args:
        message: full sentences for the caller, without secrets or the attributes of a Task or
            Worker.
        details: further members of the response, such as ``reservation_status``.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "InternalServerError"
    retry_after: ClassVar[int | None] = None
    """Seconds for the ``Retry-After`` header; None if a retry would not help."""

    def __init__(self, message: str, **details: str) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class BadRequest(AppError):
    """The request is invalid. The message explains the mistake."""

    status = 400
    code = "BadRequestError"


class TooLarge(BadRequest):
    """The body is larger than the service accepts."""

    status = 413
    code = "PayloadTooLarge"


class Unauthorized(AppError):
    """The token is missing."""

    status = 401
    code = "UnauthorizedError"
    challenge: ClassVar[str] = "Bearer"
    """The WWW-Authenticate header (https://www.rfc-editor.org/rfc/rfc6750#section-3)."""


class InvalidToken(Unauthorized):
    """The token is malformed, not signed with a key of this service, or not valid here and now."""

    challenge = 'Bearer error="invalid_token"'


class Forbidden(AppError):
    """The caller is known, or needs no token, but the action is not permitted."""

    status = 403
    code = "ForbiddenError"


class InvalidSignature(Forbidden):
    """The request has no valid Twilio signature made with a key of this account."""

    code = "InvalidSignature"


class NotFound(AppError):
    """The resource does not exist, or is not recorded."""

    status = 404
    code = "NotFoundError"


class ReservationNotPending(AppError):
    """The Reservation has ended, or is being changed to another status."""

    status = 409
    code = "ReservationNotPending"


class InstructionAlreadySent(AppError):
    """Another instruction was already sent for the Reservation."""

    status = 409
    code = "InstructionAlreadySent"


class ReservationGone(AppError):
    """TaskRouter no longer has the Reservation, so its outcome can't be determined."""

    status = 410
    code = "ReservationGone"


class KeyReused(AppError):
    """The Idempotency-Key was already used for another request."""

    status = 422
    code = "IdempotencyKeyReused"


class Unsettled(AppError):
    """The outcome of a request to TaskRouter is not known yet."""

    status = 503
    code = "OutcomeUnknown"
    retry_after = 1


class StoreUnavailable(AppError):
    """DynamoDB failed, or exceeded its time limit."""

    status = 503
    code = "StoreUnavailable"
    retry_after = 1


class SecretsUnavailable(AppError):
    """The secrets can't be read, so no caller can be verified."""

    status = 503
    code = "SecretsUnavailable"
    retry_after = 1


class SweepFailed(AppError):
    """A step of the sweep failed, such as the check of a due Reservation."""

    code = "SweepFailed"


class TaskRouterError(AppError):
    """A request to TaskRouter failed."""


class TaskRouterRefused(TaskRouterError):
    """TaskRouter refused the request (HTTP 400 or another 4xx)."""

    status = 400
    code = "TaskRouterRefused"


class TaskRouterNotFound(TaskRouterError):
    """TaskRouter does not have the resource, or no longer has it (HTTP 404)."""

    status = 404
    code = "NotFoundError"


class TaskRouterDenied(TaskRouterError):
    """TaskRouter refused the credentials (HTTP 401 or 403). An operator must fix them."""

    status = 502
    code = "TaskRouterDenied"


class TaskRouterUnavailable(TaskRouterError):
    """TaskRouter gave no usable response. The request may have taken effect."""

    status = 503
    code = "TaskRouterUnavailable"
    retry_after = 2


class TaskRouterThrottled(TaskRouterUnavailable):
    """TaskRouter did not process the request (HTTP 429, Twilio error 20429)."""

    code = "TaskRouterThrottled"


def nearest_name(name: str, candidates: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the candidate most similar to *name*; None if no candidate is similar.

    Args:
        name: an unknown name.
        candidates: the valid names.
        cutoff: minimum similarity, from 0 to 1.
    """
    from difflib import get_close_matches  # noqa: PLC0415  needed for error messages only

    matches = get_close_matches(name, list(candidates), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def describe_connection_failure(url: str, error: BaseException) -> str:
    """Return a service's address and the failure: "at … did not respond in time".

    Args:
        url: the requested URL. Only its scheme, host and port are returned, because the other
            parts may contain credentials or attributes.
        error: an HTTP client's error; its causes are examined too.
    """
    from urllib.parse import urlsplit  # noqa: PLC0415  needed for error messages only

    parts = urlsplit(url)
    address = f"at {parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    names = [type(cause).__name__ for cause in causes]
    if any(name.startswith("Proxy") for name in names):
        return f"{address} can't be reached: the proxy failed"
    if any("Timeout" in name for name in names):
        return f"{address} did not respond in time"
    if "gaierror" in names:
        return f"{address} can't be reached: unknown host name"
    if "ConnectionRefusedError" in names:
        return f"{address} can't be reached: connection refused"
    if any(isinstance(cause, ConnectionError) for cause in causes):
        return f"{address} closed the connection without a response"
    return f"{address} can't be reached: {names[-1]}"
