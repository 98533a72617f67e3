"""Properties that the response to any input must have."""

import json
import re
from collections.abc import Mapping

from tests.fuzz.inputs import Input
from tests.routes.conftest import ENVIRON

SECRETS = (ENVIRON["TWILIO_AUTH_TOKEN"], ENVIRON["TWILIO_API_KEY_SECRET"])
_TRACE = re.compile(rb"Traceback|File \"|site-packages|\.py\b")
_CHALICE_CODES = {"MethodNotAllowedError", "UnsupportedMediaType"}
_GATEWAY_BODY = b'{"message": "'
"""Start of the body that API Gateway itself returns if no route matches."""

_STATUSES = range(200, 500)


def check_response(request: Input, status: int, headers: Mapping[str, object], body: bytes) -> None:
    """Assert that a response is well-formed and reveals no secrets or source code.

    If API Gateway itself responded, only the status is checked.
    """
    assert status in _STATUSES, (status, body)
    if body.startswith(_GATEWAY_BODY):
        return
    # Chalice repeats an unsupported content type, which may look like the name of a source file.
    content_type = json.dumps(request.headers.get("Content-Type", ""))[1:-1].encode()
    assert not _TRACE.search(body.replace(content_type or b"\0", b"")), body
    for secret in SECRETS:
        assert secret.encode() not in body
        assert secret not in str(dict(headers))
    for name in ("Authorization", "X-Twilio-Signature"):
        value = request.headers.get(name, "")
        assert len(value) < 20 or value.encode() not in body
    if status >= 400:
        _check_error(body)


def _check_error(body: bytes) -> None:
    error = json.loads(body)
    assert {"Code", "Message"} <= error.keys() <= {"Code", "Message", "reservation_status"}, error
    message = error["Message"]
    assert isinstance(message, str)
    assert "\n" not in message
    assert "SettingsError" not in error["Code"]
    if error["Code"] not in _CHALICE_CODES:
        assert message.endswith((".", "_ . : -", "AccessToken>.")), message
        # The longest message explains two unknown parameters and lists the known ones.
        assert len(message) < 500, message
