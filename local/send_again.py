"""The route of the local stack that sends a recorded assignment callback again.

Deployed apps do not have this route.
"""

import json
import time
import urllib.request
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode

from chalice.app import Blueprint, Chalice
from twilio.request_validator import RequestValidator

from chalicelib import observability, runtime
from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.callbacks import Form
from chalicelib.domain.errors import AppError, NotFound
from chalicelib.domain.sids import checked_sid
from chalicelib.routes.http import FORM, Parameters, route
from chalicelib.routes.reservations import mask_signed_url
from chalicelib.usecases.check_signature import find_delivery, received_form
from local import network, stack

_TIMEOUT_SECONDS = 15.0
"""Time limit for the request, longer than TaskRouter's limit of 5 s plus the fallback's 5 s."""


class NoResponse(AppError):
    """The app did not respond to its own request."""

    status = 503
    code = "NoResponse"


def register(app: Chalice, *, base_url: str) -> None:
    """Add the route ``POST /reservations/{sid}/send_again`` to the app.

    Args:
        app: The app.
        base_url: The URL at which this process reaches the app.
    """
    blueprint = Blueprint(__name__)

    @route(
        blueprint,
        "/reservations/{sid}/send_again",
        methods=["POST"],
        action=Action.SEND_CALLBACK_AGAIN,
        parameters=(),
    )
    def send_again(_principal: Principal, _parameters: Parameters, sid: str) -> dict[str, Any]:
        """Post a recorded callback to this app again, with a new signature."""
        reservation_sid = checked_sid(sid, "WR", "sid")
        observability.bind(reservation_sid=reservation_sid)
        return _send_again(reservation_sid, runtime.current(), base_url)

    app.register_blueprint(blueprint)


def _send_again(reservation_sid: str, service: runtime.Runtime, base_url: str) -> dict[str, Any]:
    """Post a recorded callback; return the response with the URL and the duration."""
    reservation, delivery = find_delivery(reservation_sid, store=service.store)
    form = received_form(reservation)
    if form is None:
        raise NotFound(
            "Some parameters of the callback were too large to record, so it can't be sent again."
        )
    settings = service.settings
    _, separator, query = delivery.url.partition("?")
    path = f"{delivery.route}{separator}{query}"
    signed_url = stack.add_prefix(settings, settings.public_base_url) + path
    validator = RequestValidator(service.secrets.get().auth_tokens[0])
    started = time.perf_counter()
    status, text = _post(
        stack.add_prefix(settings, base_url) + path,
        form,
        signature=validator.compute_signature(signed_url, form),
    )
    return {
        "reservation_sid": reservation_sid,
        "url": mask_signed_url(signed_url, delivery.route),
        "status": status,
        "body": _read_json(text),
        "duration_ms": round((time.perf_counter() - started) * 1000, 1),
    }


def _post(url: str, form: Form, *, signature: str) -> tuple[int, str]:
    """Post a form; return the status and the body of the response."""
    pairs = [(name, value) for name in form for value in form.getall(name)]
    request = urllib.request.Request(  # noqa: S310  the URL begins with the app's base URL
        url,
        data=urlencode(pairs).encode(),
        headers={"Content-Type": FORM, "X-Twilio-Signature": signature},
    )
    try:
        try:
            response = network.DIRECT_OPENER.open(request, timeout=_TIMEOUT_SECONDS)
        except HTTPError as error:
            response = error
        with response:
            return response.status, response.read().decode(errors="replace")
    except (OSError, HTTPException) as error:
        raise NoResponse(
            f"The app did not respond to the callback ({type(error).__name__}). Try again."
        ) from error


def _read_json(text: str) -> Any:
    """Return a JSON value, or the text if it is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return text
