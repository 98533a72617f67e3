"""Routes that sign people in to the console with the company's identity provider.

A sign-in ends on the console's page, with a Twilio AccessToken in a cookie. The page exchanges the
cookie for the token, so no URL contains the token. The routes that need a token verify this token
like any other token.
"""

import functools
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from chalice.app import Blueprint, Request, Response

from chalicelib import observability, runtime
from chalicelib.domain.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    SecretsUnavailable,
    TaskRouterError,
    Unauthorized,
)
from chalicelib.domain.sign_in import (
    PAGE,
    REFUSALS,
    Attempt,
    Failure,
    SignInError,
    checked_return_to,
    provider_error,
    spread_lifetime,
)
from chalicelib.routes.http import JSON, check_names, parse_parameters, route, with_responses
from chalicelib.usecases.sign_in import identify

if TYPE_CHECKING:
    from chalicelib.adapters.oidc import Provider

blueprint = Blueprint(__name__)

_FOLDER = "console"
_SESSION = f"{_FOLDER}/session"
_COOKIE = "console-sign-in"

_TOKEN_COOKIE = "console-token"  # noqa: S105  a name
_TOKEN_COOKIE_SECONDS = 60
"""Time within which the page must exchange the cookie for the token."""

_PROMPTS = ("silent", "choose_account")
"""Parameters that determine what the provider asks the user. The provider decides by default."""

_MAX_TOKEN_LENGTH = 4_000
"""Maximum length of a token in a cookie.

Browsers ignore a cookie whose name and value together have more than 4,096 characters.
"""


@route(blueprint, f"/{_SESSION}", methods=["GET", "POST"], action=None)
def session() -> dict[str, bool] | Response:
    """Return whether there is an identity provider, or (POST) the token of a completed sign-in."""
    service, request = runtime.current(), blueprint.current_request
    if request.method == "GET":
        return {"oidc": bool(service.settings.oidc_issuer)}
    _require_provider(service)
    # Browsers don't let pages of other origins send JSON, so such pages can't use up the cookie.
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
        raise BadRequest(f"Send a JSON object with the header Content-Type: {JSON}.")
    check_names(parse_parameters(request), ())
    base = _base_url(request, service)
    token = _read_cookie(request, base, _TOKEN_COOKIE)
    if token is None:
        raise Unauthorized(
            "This browser did not complete a sign-in within the last minute. Sign in again."
        )
    observability.bind(principal=service.tokens.principal(f"Bearer {token}").name)
    return Response({"token": token}, headers={"Set-Cookie": _set_token_cookie(base, "", 0)})


def _step(view: Callable[[], Response]) -> Callable[[], Response]:
    """Return a view that makes browsers continue to the page even if an error is raised."""
    respond = with_responses(view, allows_cors=False)

    @functools.wraps(view)
    def step() -> Response:
        response: Response = respond()
        if response.status_code >= BadRequest.status:
            # The URL is relative to the route. The responses to refused sign-ins already have a
            # Refresh header.
            failure = f"0; url=./#sign-in-error={Failure.REQUEST_FAILED}"
            response.headers.setdefault("Refresh", failure)
        return response

    return step


@route(blueprint, f"/{_FOLDER}/sign-in", methods=["GET"], action=None)
@_step
def sign_in() -> Response:
    """Send the browser to the identity provider, or return the provider's URL to a script.

    The page's script requests JSON before it navigates to the provider. If the request is
    throttled or the network fails, the page stays open.
    """
    from chalicelib.adapters import sign_in_cookie  # noqa: PLC0415  jwt is slow to import

    service = runtime.current()
    provider = _require_provider(service)
    request = blueprint.current_request
    parameters = parse_parameters(request)
    check_names(parameters, ("return_to", *_PROMPTS))
    return_to = checked_return_to(parameters.get("return_to", PAGE))
    for name in _PROMPTS:
        if parameters.get(name, "1") != "1":
            raise BadRequest(f"{name} must be 1, or omitted.")
    if all(name in parameters for name in _PROMPTS):
        raise BadRequest(f"Send at most one of {' and '.join(_PROMPTS)}.")
    base = _base_url(request, service)
    attempt = Attempt.new(
        redirect_uri=f"{base}/{_FOLDER}/callback",
        return_to=return_to,
        new_secret=lambda: secrets.token_urlsafe(32),
    )
    try:
        prompts = {name: name in parameters for name in _PROMPTS}
        url = provider.authorization_url(attempt, **prompts)
        cookie = sign_in_cookie.seal(attempt, service.secrets)
    except (SignInError, SecretsUnavailable) as error:
        response = _fail(base, error)
    else:
        response = _respond(base, 302, url, cookie=cookie, max_age=sign_in_cookie.MAX_SECONDS)
    if JSON in request.headers.get("accept", ""):
        response.status_code = 200
        response.body = {"location": response.headers.pop("Location")}
    return response


@route(blueprint, f"/{_FOLDER}/callback", methods=["GET"], action=None)
@_step
def callback() -> Response:
    """Complete the sign-in after the identity provider has redirected the browser."""
    service = runtime.current()
    provider = _require_provider(service)
    request = blueprint.current_request
    parameters = parse_parameters(request)
    base = _base_url(request, service)
    try:
        attempt = _read_attempt(request, service, base, parameters.get("state", ""))
        token = _issue_token(service, provider, attempt, parameters)
    except (SignInError, SecretsUnavailable, TaskRouterError) as error:
        return _fail(base, error)
    response = _respond(base, 303, f"{base}/{attempt.return_to}#sign-in=complete")
    token_cookie = _set_token_cookie(base, token, _TOKEN_COOKIE_SECONDS)
    response.headers["Set-Cookie"] = [str(response.headers["Set-Cookie"]), token_cookie]
    return response


def _require_provider(service: runtime.Runtime) -> "Provider":
    if not service.settings.oidc_issuer:
        raise NotFound(
            "This service has no identity provider (OIDC_ISSUER). Sign in with a link that "
            "contains a token."
        )
    return service.identity_provider


def _read_attempt(request: Request, service: runtime.Runtime, base: str, state: str) -> Attempt:
    """Return the attempt that this browser has started.

    Raises:
        SignInError: The browser sent no valid cookie, or the state belongs to another attempt.
    """
    from chalicelib.adapters import sign_in_cookie  # noqa: PLC0415  jwt is slow to import

    cookie = _read_cookie(request, base, _COOKIE)
    attempt = None if cookie is None else sign_in_cookie.unseal(cookie, service.secrets)
    if attempt is None or not secrets.compare_digest(attempt.state.encode(), state.encode()):
        raise SignInError(
            Failure.EXPIRED,
            "This browser did not start the sign-in within the last ten minutes. Sign in again.",
        )
    return attempt


def _issue_token(
    service: runtime.Runtime,
    provider: "Provider",
    attempt: Attempt,
    parameters: dict[str, str],
) -> str:
    """Return a token for the person whom the provider has signed in."""
    from chalicelib.adapters.twilio.access_tokens import create_token  # noqa: PLC0415  slow

    settings, policy = service.settings, service.sign_in_policy
    if "error" in parameters or "code" not in parameters:
        raise provider_error(parameters.get("error", ""))
    if parameters.get("iss", provider.issuer) != provider.issuer:
        raise SignInError(
            Failure.PROVIDER_INVALID, "The response comes from another identity provider (iss)."
        )
    claims = provider.redeem(parameters["code"], attempt, policy.claims)
    principal = identify(claims, policy, service.taskrouter)
    observability.bind(principal=principal.name)
    token = create_token(
        service.secrets.get_recent().api_key,
        principal,
        account_sid=settings.twilio_account_sid,
        workspace_sid=settings.twilio_workspace_sid,
        seconds=spread_lifetime(
            min(settings.oidc_token_seconds, settings.max_token_seconds), secrets.randbelow
        ),
    )
    if len(token) > _MAX_TOKEN_LENGTH:
        raise SignInError(
            Failure.PROVIDER_INVALID,
            "The value that identifies the person is too long for a token.",
        )
    return token


def _base_url(request: Request, service: runtime.Runtime) -> str:
    """Return the absolute URL of the app's root, without a slash at the end.

    Neither the Host header nor a parameter influences the URL.
    """
    if service.settings.public_base_url:
        return service.settings.public_base_url
    path, route_path = str(request.context.get("path")), str(request.context.get("resourcePath"))
    return f"https://{request.context.get('domainName')}{path.rpartition(route_path)[0]}"


def _fail(base: str, error: SignInError | SecretsUnavailable | TaskRouterError) -> Response:
    """Return a response that sends the browser back to the page with the failure's code.

    The response to a refused sign-in has the status 403, and a header that makes browsers continue
    to the page.
    """
    match error:
        case SignInError():
            code = error.code
        case TaskRouterError():
            code = Failure.TASKROUTER_UNAVAILABLE
        case _:
            code = Failure.SECRETS_UNAVAILABLE
    observability.bind(sign_in=code, reason=error.message)
    url = f"{base}/{PAGE}#{urlencode({'sign-in-error': code})}"
    if code not in REFUSALS:
        return _respond(base, 303, url)
    response = _respond(base, Forbidden.status, url)
    response.body = {"Code": Forbidden.code, "Message": error.message}
    response.headers["Refresh"] = f"0; url={response.headers.pop('Location')}"
    return response


def _respond(base: str, status: int, url: str, *, cookie: str = "", max_age: int = 0) -> Response:
    """Return a response with a Location header; set or, by default, delete the sign-in cookie."""
    headers: dict[str, str | list[str]] = {
        "Referrer-Policy": "no-referrer",
        "Location": url,
        # SameSite=Strict would exclude the cookie from the provider's cross-site redirect.
        "Set-Cookie": _set_cookie(
            base, _COOKIE, cookie, path=_FOLDER, max_age=max_age, same_site="Lax"
        ),
    }
    return Response("", status_code=status, headers=headers)


def _set_token_cookie(base: str, token: str, max_age: int) -> str:
    """Return the header that sets or deletes the cookie with the token."""
    return _set_cookie(
        base, _TOKEN_COOKIE, token, path=_SESSION, max_age=max_age, same_site="Strict"
    )


def _set_cookie(
    base: str, name: str, value: str, *, path: str, max_age: int, same_site: str
) -> str:
    """Return the header that sets a cookie or, if `max_age` is 0, deletes the cookie."""
    parts = urlsplit(base)
    secure = "; Secure" if parts.scheme == "https" else ""
    return (
        f"{_cookie_name(base, name)}={value}; Path={parts.path}/{path}; Max-Age={max_age}; "
        f"HttpOnly; SameSite={same_site}{secure}"
    )


def _read_cookie(request: Request, base: str, name: str) -> str | None:
    """Return the value of a cookie, or None if there is not exactly one cookie with this name.

    Another site on the same domain may have added a second cookie.
    """
    pairs = [part.strip().partition("=") for part in request.headers.get("cookie", "").split(";")]
    values = [value for key, _, value in pairs if key == _cookie_name(base, name)]
    return values[0] if len(values) == 1 else None


def _cookie_name(base: str, name: str) -> str:
    """Return the name of a cookie. Browsers accept ``__Secure-`` only from HTTPS sites."""
    return f"__Secure-{name}" if base.startswith("https:") else name
