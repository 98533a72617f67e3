"""What TaskRouter refuses, with the status and the code that Twilio gives it."""


class Refusal(Exception):
    """A request that TaskRouter turns down.

    Args:
        message: Twilio's sentence for it.
    """

    status = 400
    code = 20001

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.code


class BadRequest(Refusal):
    """A parameter that is missing or wrong, or a state that does not allow what was asked."""


class NotPending(BadRequest):
    """A Reservation that cannot go where it was asked to; status and code are settings."""

    def __init__(self, message: str, code: int, status: int) -> None:
        super().__init__(message, code)
        self.status = status


class NotFound(Refusal):
    """No such resource."""

    status = 404
    code = 20404

    def __init__(self, path: str) -> None:
        super().__init__(f"The requested resource {path} was not found")


class PreconditionFailed(Refusal):
    """The If-Match header names another version than today's."""

    status = 412
    code = 20412
