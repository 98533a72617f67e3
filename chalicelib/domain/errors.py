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
    ├── MethodNotAllowed         405  method not supported by the route
    ├── ReservationNotPending    409  ruled out by the status or a change in progress
    ├── InstructionAlreadySent   409  an instruction was, or may have been, sent
    ├── TaskUnidentified         409  the Task for an Idempotency-Key can't be identified
    ├── AnswerUnknown            409  the answer to the callback may have called a phone
    ├── ReservationGone          410  TaskRouter no longer has the Reservation
    ├── KeyReused                422  Idempotency-Key already used for a different request
    ├── OutcomeUnknown           503  request sent to TaskRouter, outcome not known yet
    ├── StoreUnavailable         503  DynamoDB failed or was too slow
    ├── SecretsUnavailable       503  secrets can't be read
    ├── CallbackLogUnavailable   503  the callback log can't be read
    ├── SweepFailed              500  fails the sweep's invocation, so that an alarm fires
    └── TaskRouterError
        ├── TaskRouterRefused    400  TaskRouter returned 400 or another 4xx
        ├── TaskRouterNotFound   404  TaskRouter returned 404
        ├── TaskRouterDenied     502  TaskRouter returned 401 or 403: wrong credentials
        └── TaskRouterUnavailable 503 timeout, lost connection or 5xx: outcome unknown
            └── TaskRouterNotProcessed  the request had no effect
                ├── TaskRouterThrottled 503  TaskRouter returned 429
                └── TaskRouterNotSent   503  the request was not sent, or not sent completely
"""

from typing import ClassVar, Self


class AppError(Exception):
    """Base class of the service's errors.

    Args:
        message: full sentences for the caller, without secrets or the attributes of a Task or
            Worker.
        retry_after: seconds until a retry can succeed; None for the default of the class.
        details: additional fields of the response, such as ``reservation_status``.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "InternalServerError"
    retry_after: int | None = None
    """Seconds for the ``Retry-After`` header; None if a retry would not help."""

    def __init__(self, message: str, *, retry_after: int | None = None, **details: str) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after or self.retry_after
        self.details = details

    @property
    def reason(self) -> str | None:
        """The reason why a token was rejected or a request to another service failed, or None."""
        for error in (self, self.__cause__):
            if isinstance(
                error,
                TaskRouterError
                | StoreUnavailable
                | SecretsUnavailable
                | CallbackLogUnavailable
                | Unauthorized,
            ):
                return error.message.removesuffix(" Retry.")  # advice for the caller
        return None


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
    """The token is malformed, not signed with a key of this service, or otherwise not valid."""

    challenge = 'Bearer error="invalid_token"'


class Forbidden(AppError):
    """The caller is known, or needs no token, but the action is not permitted."""

    status = 403
    code = "ForbiddenError"


class InvalidSignature(Forbidden):
    """The request has no valid Twilio signature made with a key of this account.

    Args:
        message: see `AppError`.
        likely_cause: a name for the log, such as ``auth_token``.
    """

    code = "InvalidSignature"

    def __init__(self, message: str, *, likely_cause: str) -> None:
        super().__init__(message)
        self.likely_cause = likely_cause


class NotFound(AppError):
    """The resource does not exist, or is not recorded."""

    status = 404
    code = "NotFoundError"


class MethodNotAllowed(AppError):
    """The route does not support the method. Some methods require TUTORIAL_ROUTES."""

    status = 405
    code = "MethodNotAllowedError"


class ReservationNotPending(AppError):
    """The Reservation's status, or a change of the status in progress, rules out the request."""

    status = 409
    code = "ReservationNotPending"


class InstructionAlreadySent(AppError):
    """An instruction was already sent for the Reservation, or may have been sent."""

    status = 409
    code = "InstructionAlreadySent"


class AnswerUnknown(AppError):
    """The answer to the callback is not recorded, so the answer may have called a phone."""

    status = 409
    code = "AnswerUnknown"


class ReservationGone(AppError):
    """TaskRouter no longer has the Reservation, so its outcome can't be determined."""

    status = 410
    code = "ReservationGone"


class TaskUnidentified(AppError):
    """The Task that a request created can't be identified. A retry does not help."""

    status = 409
    code = "TaskUnidentified"


class KeyReused(AppError):
    """The Idempotency-Key was already used for a different request."""

    status = 422
    code = "IdempotencyKeyReused"


_FETCH_OR_RETRY = "The outcome is not known yet. Fetch the Reservation to see its status, or retry"


class OutcomeUnknown(AppError):
    """The outcome of a request to TaskRouter is not known yet. See `until`."""

    status = 503
    code = "OutcomeUnknown"

    @classmethod
    def until(
        cls,
        at: int | None,
        *,
        now: int,
        failure: AppError | None = None,
        message: str | None = None,
    ) -> Self:
        """Build the error for an outcome that is not known yet.

        Args:
            at: epoch ms at which the current claim or lease expires; None if there is neither.
            now: epoch ms.
            failure: the error that ended the request, if any. Its `retry_after` may be longer.
            message: a sentence about the unknown outcome; None for the outcome of a Reservation.
        """
        delays = [1]
        if at is not None:
            delays.append(-((now - at) // 1000))  # rounded up
        if failure is not None and failure.retry_after is not None:
            delays.append(failure.retry_after)
        seconds = max(delays)
        advice = f"{message} Retry" if message else _FETCH_OR_RETRY
        return cls(f"{advice} in {seconds} s.", retry_after=seconds)


class StoreUnavailable(AppError):
    """DynamoDB failed, or exceeded its time limit."""

    status = 503
    code = "StoreUnavailable"
    retry_after: int | None = 1


class SecretsUnavailable(AppError):
    """The secrets can't be read, so no caller can be verified."""

    status = 503
    code = "SecretsUnavailable"
    retry_after = 1


class CallbackLogUnavailable(AppError):
    """The callback log can't be read. `retry_after` is set if a retry may help."""

    status = 503
    code = "CallbackLogUnavailable"


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
    """TaskRouter rejected the credentials (HTTP 401 or 403). An operator must fix them."""

    status = 502
    code = "TaskRouterDenied"


class TaskRouterUnavailable(TaskRouterError):
    """TaskRouter returned no usable response. The request may have taken effect."""

    status = 503
    code = "TaskRouterUnavailable"
    retry_after = 2


class TaskRouterNotProcessed(TaskRouterUnavailable):
    """TaskRouter did not process the request, so the request can be repeated."""


class TaskRouterThrottled(TaskRouterNotProcessed):
    """TaskRouter throttled the request (HTTP 429, Twilio error 20429)."""

    code = "TaskRouterThrottled"


class TaskRouterNotSent(TaskRouterNotProcessed):
    """The request was not sent, or not sent completely."""

    code = "TaskRouterNotSent"
    retry_after = 1
