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
    ├── ReservationNotPending    409  ended with, or being changed to, another status
    ├── InstructionAlreadySent   409  another instruction was already sent
    ├── AnswerUnknown            409  the answer to the callback may have rung a phone
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

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import ClassVar, Self

MAX_NAME_LENGTH = 64
"""Maximum length of an unknown name in a message, because the name may come from a request."""

MAX_REASON_LENGTH = 160
"""Maximum length of an external service's message in a message of this service."""

_MAX_SENTENCE_LENGTH = 1_000

_MAYBE_PRIVATE = r"""
    \{(?:.*\}|.*) | \[(?:.*\]|.*)              # JSON, also if it is cut off
    | "[^"]*"? | (?<!\w)'[^']*'?(?!\w)          # quoted text
    | \w+://\S+ | \S+@\S+                     # URLs and addresses
    | (?i:client|sips?):\S+                    # contacts
    | (?<!\w)\+?\d[\d\ .()-]{4,}\d(?!\w)       # numbers of phones and cards, but no SIDs
"""
"""Text that may be a value of an attribute or a contact, as a verbose regular expression."""


class AppError(Exception):
    """Base class of the service's errors.

    Args:
        message: full sentences for the caller, without secrets or the attributes of a Task or
            Worker.
        retry_after: seconds until a retry can succeed; None for the default of the class.
        details: further members of the response, such as ``reservation_status``.
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
        """The message of a refused token, or of the failed request to TaskRouter, if any."""
        for error in (self, self.__cause__):
            if isinstance(error, TaskRouterError | Unauthorized):
                return error.message
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
        message: like `AppError`'s.
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
    """The route does not support the method, or supports it only for the tutorial."""

    status = 405
    code = "MethodNotAllowedError"


class ReservationNotPending(AppError):
    """The Reservation has ended, or is being changed to another status."""

    status = 409
    code = "ReservationNotPending"


class InstructionAlreadySent(AppError):
    """Another instruction was already sent for the Reservation."""

    status = 409
    code = "InstructionAlreadySent"


class AnswerUnknown(AppError):
    """The answer to the callback is not recorded, and may have been an instruction that rings."""

    status = 409
    code = "AnswerUnknown"


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

    @classmethod
    def until(
        cls,
        at: int | None,
        *,
        now: int,
        failure: AppError | None = None,
        message: str = "The outcome is not known yet. The Reservation will show it.",
    ) -> Self:
        """Build the error for an outcome that is unknown while a claim or lease exists.

        Args:
            at: epoch ms at which the claim or lease of the request expires; None if it has none.
            now: epoch ms.
            failure: the error that ended the request, if any. Its `retry_after` may be longer.
            message: states which outcome is not known.
        """
        remaining = 0 if at is None else -((now - at) // 1000)
        seconds = max(1, remaining, (failure and failure.retry_after) or 0)
        return cls(f"{message} Retry in {seconds} s.", retry_after=seconds)


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
    """TaskRouter returned no usable response. The request may have taken effect."""

    status = 503
    code = "TaskRouterUnavailable"
    retry_after = 2


class TaskRouterThrottled(TaskRouterUnavailable):
    """TaskRouter did not process the request (HTTP 429, Twilio error 20429)."""

    code = "TaskRouterThrottled"


def nearest_name(
    name: str,
    candidates: Iterable[str],
    hints: Mapping[str, str] = MappingProxyType({}),
    *,
    cutoff: float = 0.6,
) -> str | None:
    """Return the candidate most similar to *name*; None if no candidate is similar.

    Args:
        name: an unknown name. Its case is ignored.
        candidates: the valid names.
        hints: suggestions, by other names that users may know, such as names in Twilio's REST API.
            The case and the underscores of these names are ignored.
        cutoff: minimum similarity, from 0 to 1.
    """
    from difflib import get_close_matches  # noqa: PLC0415  needed for error messages only

    spelling = name[:MAX_NAME_LENGTH].lower()
    for hinted, suggested in hints.items():
        if hinted.lower().replace("_", "") == spelling.replace("_", ""):
            return suggested
    by_spelling = {candidate.lower(): candidate for candidate in candidates}
    matches = get_close_matches(spelling, by_spelling, n=1, cutoff=cutoff)
    return by_spelling[matches[0]] if matches else None


def suggestion(
    name: str, candidates: Collection[str], hints: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return the end of a message about an unknown name: a similar name, or all names."""
    similar = nearest_name(name, candidates, hints)
    return f"; did you mean {similar}?" if similar else f"; use one of {', '.join(candidates)}."


def shown(name: str) -> str:
    """Return an unknown name for a message, on one line and at most MAX_NAME_LENGTH long."""
    return json.dumps(name, ensure_ascii=False)[1:-1][:MAX_NAME_LENGTH]


def public_text(message: str, private: Iterable[str]) -> str:
    """Return an external service's message as one line that may be logged and shown to callers.

    Args:
        message: the message, which may repeat parts of the request or of stored data.
        private: texts sent with the request that must not be repeated. Of a JSON text, neither the
            text nor any value in it may be repeated.

    Returns:
        The message without a period at the end and with at most MAX_REASON_LENGTH characters. "…"
        replaces private texts, and everything that may be a value of an attribute or a contact:
        JSON, quoted text, URLs, addresses, and numbers of phones or cards. Empty if the message
        is too long to be a sentence.
    """
    import re  # noqa: PLC0415  needed for error messages only

    if len(message) > _MAX_SENTENCE_LENGTH:
        return ""
    texts = {text for value in private for text in (value, *_values_in(value)) if text.strip()}
    # Longer texts first, because a text may contain another.
    names = "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))
    if names:
        message = re.sub(rf"(?<!\w)(?:{names})(?!\w)", "…", message)
    message = re.sub(_MAYBE_PRIVATE, "…", message, flags=re.VERBOSE | re.DOTALL)
    return " ".join(message.split())[:MAX_REASON_LENGTH].rstrip(" .")


def _values_in(text: str) -> Iterator[str]:
    """Yield all strings and numbers in a JSON text; nothing if the text is not JSON."""
    try:
        pending = [json.loads(text)]
    except (ValueError, RecursionError):
        return
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        elif value is not None and not isinstance(value, bool):
            yield str(value)


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
