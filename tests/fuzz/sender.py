"""Adds the sender's token and signature to an input."""

from collections.abc import Callable
from dataclasses import replace

from twilio.request_validator import RequestValidator

from chalicelib.domain.callbacks import Form
from chalicelib.domain.errors import BadRequest
from tests.fuzz.inputs import WORKERS, Input
from tests.routes.conftest import ENVIRON


def add_credentials(drawn: Input, authorizations: dict[str, str], base_url: str) -> Input:
    """Return the drawn request with its token and signature.

    Args:
        drawn: Request drawn by Hypothesis.
        authorizations: Authorization headers by identity; see `create_authorizations`.
        base_url: Start of the signed URL.
    """
    headers = dict(drawn.headers)
    if drawn.identity != "none":
        headers["Authorization"] = authorizations[drawn.identity]
    if drawn.signature != "none":
        headers["X-Twilio-Signature"] = _signature(drawn, base_url)
    if drawn.signature == "with settings":
        headers["X-Twilio-Webhooks-Signature-Settings"] = "key=x,algorithm=HMAC_SHA256"
    return replace(drawn, headers=headers)


def _signature(drawn: Input, base_url: str) -> str:
    try:
        form = Form.parse(drawn.body)
    except BadRequest:
        form = Form([])
    if drawn.signature == "for a different form":
        form = Form([*((name, value) for name in form for value in form.getall(name)), ("x", "y")])
    key = "another" if drawn.signature == "wrong key" else ENVIRON["TWILIO_AUTH_TOKEN"]
    url = base_url + drawn.path
    return str(RequestValidator(key).compute_signature(url, form))


def create_authorizations(create_token: Callable[..., str]) -> dict[str, str]:
    """Return an Authorization header for each identity except "none".

    Args:
        create_token: Returns a token; accepts a role and the overrides of
            `tests.routes.conftest.create_token`.
    """
    bearer = {
        "worker": create_token("worker", worker_sid=WORKERS[0]),
        "supervisor": create_token("supervisor"),
        "service": create_token("service"),
        "expired": create_token("supervisor", ttl=-10),
        "wrong secret": create_token(
            "supervisor", secret="another API key's secret of sufficient length"
        ),
        "no role": create_token(None),
    }
    return {name: f"Bearer {token}" for name, token in bearer.items()} | {
        "junk": "Bearer eyJhbGciOiJub25lIn0.e30."
    }
