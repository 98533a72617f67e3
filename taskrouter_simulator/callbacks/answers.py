"""The app's responses to callbacks, and the alert codes for unusable responses."""

import json
from dataclasses import dataclass
from typing import Any, NoReturn

HTTP_FAILURE = 11200
NOT_JSON_TYPE = 40000
NOT_JSON = 40001
NOT_XML_TYPE = 12300
TOO_LARGE = 11750
SUCCESS = range(200, 300)
_MAX_TWIML_BYTES = 64 * 1024
_XML_TYPES = frozenset({"text/xml", "application/xml", "text/html"})


@dataclass(frozen=True)
class Response:
    """An HTTP response from the app, or the reason that no response was received.

    Attributes:
        status: HTTP status; None if there is no response.
        content_type: Content-Type header without its parameters, in lower case.
        body: Body of the response.
        error: Reason that no response was received; empty if there is a response.
        failure: The failure, named as in connection overrides: "4xx", "5xx", "ct" (no connection)
            or "rt" (no response in time); "cut" if the connection broke; empty for no failure.
    """

    status: int | None = None
    content_type: str = ""
    body: bytes = b""
    error: str = ""
    failure: str = ""

    @property
    def problem(self) -> str:
        """Alert message in Twilio's wording, with the error or the HTTP status."""
        return f"HTTP retrieval failure: {self.error or f'got HTTP {self.status}'}"


class UnusableResponse(Exception):
    """The app returned no usable instruction or TwiML.

    Args:
        code: Code of the alert to emit.
        message: Message of the alert.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def parse_instruction(response: Response) -> dict[str, Any]:
    """Return the JSON object in the response to an assignment callback.

    An empty body is treated as an empty object, because Twilio's Python quickstart returns an empty
    body.

    Raises:
        UnusableResponse: No response was received, its status is not 200, its content type is not
            application/json, or its body is neither empty nor a JSON object.
    """
    if response.error or response.status != 200:  # noqa: PLR2004 - HTTP status
        raise UnusableResponse(HTTP_FAILURE, response.problem)
    if response.content_type != "application/json":
        raise UnusableResponse(NOT_JSON_TYPE, _content_type_problem(response))
    if not response.body.strip():
        return {}
    try:
        content = json.loads(response.body, parse_constant=_reject_constant)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise UnusableResponse(NOT_JSON, "The response is not a JSON object")
    return content


def twiml_body(response: Response) -> bytes:
    """Return the TwiML in a response, unparsed.

    Raises:
        UnusableResponse: No response was received, its status is not 2xx, its content type is not
            accepted for TwiML, or its body is too large.
    """
    if response.error or response.status not in SUCCESS:
        raise UnusableResponse(HTTP_FAILURE, response.problem)
    if response.content_type not in _XML_TYPES:
        raise UnusableResponse(NOT_XML_TYPE, _content_type_problem(response))
    if len(response.body) > _MAX_TWIML_BYTES:
        raise UnusableResponse(TOO_LARGE, f"The response is larger than {_MAX_TWIML_BYTES} bytes")
    return response.body


def _content_type_problem(response: Response) -> str:
    return f"The response's Content-Type is {response.content_type or 'missing'}"


def _reject_constant(name: str) -> NoReturn:
    """Reject NaN and Infinity, which are not JSON but are accepted by Python's parser."""
    raise ValueError(name)
