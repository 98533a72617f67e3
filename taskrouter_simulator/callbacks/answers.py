"""What an app answered to an assignment callback: an instruction, or a mistake with a code."""

import json
from dataclasses import dataclass
from typing import Any

HTTP_FAILURE = 11200
NOT_JSON_TYPE = 40000
NOT_JSON = 40001
NOT_XML_TYPE = 12300
TOO_LARGE = 11750
_MAX_TWIML = 64 * 1024
_XML_TYPES = frozenset({"text/xml", "application/xml", "text/html"})
_SUCCESS = range(200, 300)


@dataclass(frozen=True)
class Reply:
    """An HTTP answer, or why there was none.

    `content_type` is the header's, without parameters. Where there was no answer `error` says
    why, and `failure` is what connection overrides call it: "ct" (no connection), "rt" (slow).
    """

    status: int | None = None
    content_type: str = ""
    body: bytes = b""
    error: str = ""
    failure: str = ""

    @property
    def problem(self) -> str:
        """Why there was no answer, or which status it had, in Twilio's words."""
        return f"HTTP retrieval failure: {self.error or f'got HTTP {self.status}'}"


def failure(reply: Reply) -> tuple[int, str] | None:
    """Why the reply sends TaskRouter to the fallback URL: an alert's code and message, or None."""
    if reply.error or reply.status != 200:  # noqa: PLR2004 - HTTP's own number
        return HTTP_FAILURE, reply.problem
    if reply.content_type != "application/json":
        return NOT_JSON_TYPE, f"The answer's Content-Type is {reply.content_type or 'missing'}"
    return None


def no_twiml(reply: Reply) -> tuple[int, str] | None:
    """Why the reply holds no TwiML: an alert's code and message, or None."""
    if reply.error or reply.status not in _SUCCESS:
        return HTTP_FAILURE, reply.problem
    if reply.content_type not in _XML_TYPES:
        return NOT_XML_TYPE, f"The answer's Content-Type is {reply.content_type or 'missing'}"
    if len(reply.body) > _MAX_TWIML:
        return TOO_LARGE, f"The answer is larger than {_MAX_TWIML} bytes"
    return None


def instruction(reply: Reply) -> dict[str, Any] | None:
    """The JSON object of a reply that is no failure; None if it holds none (alert 40001).

    An empty body counts as an empty object: Twilio's own Python quickstart sends one.
    """
    if not reply.body.strip():
        return {}
    try:
        answer = json.loads(reply.body, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return answer if isinstance(answer, dict) else None


def _refuse(name: str) -> None:
    """Python's parser takes NaN and Infinity, which JSON does not have."""
    raise ValueError(name)
