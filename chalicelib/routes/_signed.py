"""What Twilio posts: a form whose signature is all that says who it is."""

from chalice.app import Request

from chalicelib import observability, runtime
from chalicelib.adapters import signature
from chalicelib.config import Settings
from chalicelib.domain.callbacks import Form
from chalicelib.domain.errors import InvalidSignature
from chalicelib.routes._http import body_of


def signed_form(request: Request, service: runtime.Runtime) -> Form:
    """Return the form that Twilio posted; raises InvalidSignature where it was not Twilio."""
    form = Form.parse(body_of(request))
    url = _requested_url(request, service.settings)
    try:
        service.signatures.verify(
            url,
            form,
            request.headers.get(signature.HEADER),
            request.headers.get(signature.SETTINGS_HEADER),
        )
    except InvalidSignature:
        # The one thing that finds a wrong PUBLIC_BASE_URL.
        observability.bind(checked_url=url)
        raise
    return form


def _requested_url(request: Request, settings: Settings) -> str:
    """Return the URL that Twilio signed: our public base and the route, without a query."""
    if settings.public_base_url:
        return settings.public_base_url + str(request.path)
    return f"https://{request.context.get('domainName')}{request.context.get('path')}"
