"""Add the sender's token and signature to an input."""

from dataclasses import replace

from twilio.request_validator import RequestValidator

from chalicelib.domain.callbacks import Form
from chalicelib.domain.errors import BadRequest
from tests.fuzz.inputs import WORKERS, Input
from tests.routes.conftest import ENVIRON


def sent(given: Input, tokens: dict[str, str], base_url: str) -> Input:
    """Return a request with all headers.

    Args:
        given: the request drawn by hypothesis.
        tokens: Authorization headers by identity.
        base_url: beginning of signed URLs.
    """
    headers = dict(given.headers)
    if given.identity != "none":
        headers["Authorization"] = tokens[given.identity]
    if given.signature != "none":
        headers["X-Twilio-Signature"] = _signature(given, base_url)
    if given.signature == "with settings":
        headers["X-Twilio-Webhooks-Signature-Settings"] = "key=x,algorithm=HMAC_SHA256"
    return replace(given, headers=headers)


def _signature(given: Input, base_url: str) -> str:
    try:
        form = Form.parse(given.body)
    except BadRequest:
        form = Form([])
    if given.signature == "of another form":
        form = Form([*((name, value) for name in form for value in form.getall(name)), ("x", "y")])
    key = "another" if given.signature == "wrong" else ENVIRON["TWILIO_AUTH_TOKEN"]
    url = base_url + given.route
    return str(RequestValidator(key).compute_signature(url, form))


def tokens_by(mint) -> dict[str, str]:
    """Return the Authorization header of each identity; *mint* is `Api.token`."""
    bearer = {
        "worker": mint("worker", worker_sid=WORKERS[0]),
        "supervisor": mint("supervisor"),
        "service": mint("service"),
        "expired": mint("supervisor", ttl=-10),
        "foreign": mint("supervisor", secret="another API key's secret, as long as ours is"),
        "no role": mint(None),
    }
    return {name: f"Bearer {token}" for name, token in bearer.items()} | {
        "junk": "Bearer eyJhbGciOiJub25lIn0.e30."
    }
