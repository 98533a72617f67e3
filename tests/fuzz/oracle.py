"""What must be true of any answer to any input."""

import json
import re
from collections.abc import Mapping

from tests.fuzz.inputs import Input
from tests.routes.conftest import ENVIRON

SECRETS = (ENVIRON["TWILIO_AUTH_TOKEN"], ENVIRON["TWILIO_API_KEY_SECRET"])
_TRACE = re.compile(rb"Traceback|File \"|site-packages|\.py\b")
_OF_CHALICE = {"MethodNotAllowedError", "UnsupportedMediaType"}
_OF_GATEWAY = b'{"message": "'
"""No route of ours fits; API Gateway answers, and no line of ours runs."""

_ANSWERS = range(200, 500)


def check(given: Input, status: int, headers: Mapping[str, object], body: bytes) -> None:
    """Hold an answer against what every answer has to be."""
    assert status in _ANSWERS, (status, body)
    if body.startswith(_OF_GATEWAY):
        return
    assert not _TRACE.search(body), body
    for secret in SECRETS:
        assert secret.encode() not in body
        assert secret not in str(dict(headers))
    for name in ("Authorization", "X-Twilio-Signature"):
        shown = given.headers.get(name, "")
        assert len(shown) < 20 or shown.encode() not in body
    if status >= 400:
        _check_refusal(body)


def _check_refusal(body: bytes) -> None:
    told = json.loads(body)
    assert {"Code", "Message"} <= told.keys() <= {"Code", "Message", "reservation_status"}, told
    message = told["Message"]
    assert isinstance(message, str)
    assert "\n" not in message
    assert "SettingsError" not in told["Code"]
    if told["Code"] not in _OF_CHALICE:
        assert message.endswith((".", "_ . : -", "AccessToken>.")), message
        assert len(message) < 300, message
