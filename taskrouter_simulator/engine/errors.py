"""Exceptions for rejected requests, with Twilio's HTTP status and error code."""


class ApiError(Exception):
    """An error in response to a request.

    Args:
        message: Message of the error response.
        code: Twilio's error code; None for the class's default.
    """

    status = 400
    code = 20001

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code


class BadRequest(ApiError):
    """A parameter is missing or invalid, or the resource is in the wrong state."""


class InvalidTransition(BadRequest):
    """A Reservation's status does not allow the change.

    Settings define the HTTP status and the error code.
    """

    def __init__(self, message: str, code: int, status: int) -> None:
        super().__init__(message, code)
        self.status = status


class NotFound(ApiError):
    """The resource does not exist."""

    status = 404
    code = 20404

    def __init__(self, path: str) -> None:
        super().__init__(f"The requested resource {path} was not found")


class PreconditionFailed(ApiError):
    """The If-Match header does not match the current version."""

    status = 412
    code = 20412
