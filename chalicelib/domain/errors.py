"""Everything that can go wrong, as one tree; each error knows its HTTP status and Code.

::

    AppError
    ├── BadRequest               400  the caller can mend the request
    │   └── TooLarge             413
    ├── Unauthorized             401  no token, or one that does not hold
    ├── Forbidden                403  a token that holds, for something else
    │   └── InvalidSignature     403  not signed by Twilio with a key of ours
    ├── NotFound                 404
    ├── ReservationNotPending    409  it ended otherwise, or is being decided otherwise
    ├── InstructionAlreadySent   409  another one; a second would ring twice
    ├── ReservationGone          410  TaskRouter no longer knows it
    ├── KeyReused                422  the Idempotency-Key belongs to another request
    ├── Unsettled                503  asked, and the outcome is not known yet
    ├── StoreUnavailable         503  DynamoDB did not answer in time
    ├── SecretsUnavailable       503  our keys can't be read
    ├── SweepFailed              500  never answered to a caller: it makes the alarm fire
    └── TaskRouterError
        ├── TaskRouterRefused    400  TaskRouter answered 400 to what was asked
        ├── TaskRouterNotFound   404
        ├── TaskRouterDenied     502  our own key or account is refused (401, 403)
        └── TaskRouterUnavailable 503 time-out, cut connection, 5xx, junk: the effect is unknown
            └── TaskRouterThrottled 503  429: it was never processed
"""

from collections.abc import Iterable
from typing import ClassVar


class AppError(Exception):
    """Root of the tree.

    Args:
        message: one sentence for the caller, which names no secret and no attribute.
        details: further members of the answer, such as ``reservation_status``.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "InternalServerError"
    retry_after: ClassVar[int | None] = None
    """Seconds for the ``Retry-After`` header; None where a retry would not help."""

    def __init__(self, message: str, **details: str) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class BadRequest(AppError):
    """The request can't be understood; the message says what to send instead."""

    status = 400
    code = "BadRequestError"


class TooLarge(BadRequest):
    """The body is larger than any honest one."""

    status = 413
    code = "PayloadTooLarge"


class Unauthorized(AppError):
    """No token, or one that does not hold."""

    status = 401
    code = "UnauthorizedError"


class Forbidden(AppError):
    """The token holds, but not for this."""

    status = 403
    code = "ForbiddenError"


class InvalidSignature(Forbidden):
    """The request was not signed by Twilio with a key that we know."""

    code = "InvalidSignature"


class NotFound(AppError):
    """No such thing, or none that we know of."""

    status = 404
    code = "NotFoundError"


class ReservationNotPending(AppError):
    """The Reservation ended otherwise, or another decision about it is under way."""

    status = 409
    code = "ReservationNotPending"


class InstructionAlreadySent(AppError):
    """Another instruction was sent for the Reservation; it is never sent a second."""

    status = 409
    code = "InstructionAlreadySent"


class ReservationGone(AppError):
    """TaskRouter no longer knows the Reservation, so its end can't be known."""

    status = 410
    code = "ReservationGone"


class KeyReused(AppError):
    """The Idempotency-Key was used for something else."""

    status = 422
    code = "IdempotencyKeyReused"


class Unsettled(AppError):
    """TaskRouter was asked and the outcome is not known yet; the sweep will find out."""

    status = 503
    code = "OutcomeUnknown"
    retry_after = 1


class StoreUnavailable(AppError):
    """DynamoDB did not do what was asked in its time."""

    status = 503
    code = "StoreUnavailable"
    retry_after = 1


class SecretsUnavailable(AppError):
    """The secrets can't be read, so nobody can be verified."""

    status = 503
    code = "SecretsUnavailable"
    retry_after = 1


class SweepFailed(AppError):
    """A sweep could not look at everything that it should have looked at."""

    code = "SweepFailed"


class TaskRouterError(AppError):
    """TaskRouter did not do what was asked."""


class TaskRouterRefused(TaskRouterError):
    """TaskRouter understood and said no (HTTP 400)."""

    status = 400
    code = "TaskRouterRefused"


class TaskRouterNotFound(TaskRouterError):
    """TaskRouter does not know the resource, or no longer does (HTTP 404)."""

    status = 404
    code = "NotFoundError"


class TaskRouterDenied(TaskRouterError):
    """TaskRouter refuses our own credentials (HTTP 401 or 403): an operator has to act."""

    status = 502
    code = "TaskRouterDenied"


class TaskRouterUnavailable(TaskRouterError):
    """No usable answer: whether the request took effect is unknown."""

    status = 503
    code = "TaskRouterUnavailable"
    retry_after = 2


class TaskRouterThrottled(TaskRouterUnavailable):
    """HTTP 429: the request was not processed, so a retry is safe (Twilio error 20429)."""

    code = "TaskRouterThrottled"


def nearest_name(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that is most like *name*, None where none is.

    Args:
        name: what was written.
        known: what could be meant.
        cutoff: how alike they must be, from 0 to 1.
    """
    from difflib import get_close_matches  # noqa: PLC0415  needed only where something is wrong

    close = get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return close[0] if close else None
