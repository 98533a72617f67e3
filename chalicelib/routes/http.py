"""What the routes share: errors to answers, parameters, the caller, the line in the log."""

import functools
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from chalice.app import Blueprint, MultiDict, Request, Response

from chalicelib import observability, runtime
from chalicelib.adapters.twilio import signature
from chalicelib.config import Settings, SettingsError
from chalicelib.domain.auth import Action, Principal
from chalicelib.domain.callbacks import Form
from chalicelib.domain.errors import (
    AppError,
    BadRequest,
    Forbidden,
    InvalidSignature,
    TooLarge,
    Unauthorized,
)
from chalicelib.domain.json_text import JsonError, parse_json_object
from chalicelib.domain.sids import checked_sid

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
UNTYPED = "application/octet-stream"
"""What some clients (aiohttp) call a body that is not there."""

_HEADERS = {
    # TaskRouter insists on it; API Gateway would only fill it in as its own default.
    "Content-Type": JSON,
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
}

AUTHORIZATION = "Authorization"
IDEMPOTENCY_KEY = "Idempotency-Key"

MAX_BODY_BYTES = 128 * 1024
"""Two attributes of 4,096 characters of four bytes each, percent-encoded, stay below this."""

_TWICE = "A parameter was given more than once."

View = Callable[..., Any]


def route(
    blueprint: Blueprint, path: str, *, methods: list[str], action: Action | None
) -> Callable[[View], View]:
    """Register a view, authorize its callers, and turn its errors into responses.

    Chalice would log the messages of errors, which may repeat what a request contained.

    Args:
        blueprint: the blueprint that gets the route.
        path: the path of the route.
        methods: the HTTP methods.
        action: the action that the view performs. The caller needs a bearer token that allows the
            action, and the view gets the caller's Principal as its first argument. Web pages call
            these routes too: with JSON, a form or no body, and from the origins that
            CORS_ALLOW_ORIGIN allows. None: the route takes no token. It is called by Twilio, or
            it is public.
    """
    # Chalice treats a request without a content type as JSON.
    content_types = [JSON, FORM, UNTYPED] if action or "GET" in methods else [FORM]

    def register(view: View) -> View:
        @functools.wraps(view)
        def call(**path_parameters: str) -> Response:
            def respond() -> Any:
                if action is None:
                    return view(**path_parameters)
                principal = authenticate(blueprint.current_request)
                principal.authorize(action)
                return view(principal, **path_parameters)

            return _answer(respond, shared=action is not None)

        blueprint.route(path, methods=methods, content_types=content_types)(call)
        if action is not None:
            # A browser sends this request before a token or JSON goes to another origin.
            @functools.wraps(view)
            def preflight(**_path_parameters: str) -> Response:
                return _answer(functools.partial(_preflight, methods), shared=True)

            blueprint.route(path, methods=["OPTIONS"])(preflight)
        return call

    return register


def _answer(respond: Callable[[], Any], *, shared: bool) -> Response:
    try:
        answer = respond()
        response = answer if isinstance(answer, Response) else Response(answer)
        if shared:
            _allow_origin(response)
    except AppError as error:
        response = _error_response(error)
        if shared:
            _allow_origin(response)
    except SettingsError as error:
        observability.log_crash("settings", error)
        response = Response({"Code": "SettingsError", "Message": str(error)}, status_code=500)
    except Exception as error:  # noqa: BLE001  the last place that can answer at all
        observability.log_crash("crash", error)
        body = {"Code": AppError.code, "Message": "An internal server error occurred."}
        response = Response(body, status_code=AppError.status)
    return response


def _allow_origin(response: Response) -> None:
    origin = runtime.current().settings.cors_allow_origin
    if origin:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "Retry-After"
        response.headers["Vary"] = "Origin"


def _preflight(methods: list[str]) -> Response:
    if not runtime.current().settings.cors_allow_origin:
        raise Forbidden("Pages of other origins may not call this service: see CORS_ALLOW_ORIGIN.")
    headers: dict[str, str | list[str]] = {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": f"{AUTHORIZATION}, Content-Type, {IDEMPOTENCY_KEY}",
        "Access-Control-Max-Age": "600",
    }
    return Response("", status_code=204, headers=headers)


def _error_response(error: AppError) -> Response:
    observability.bind(error=error.code)
    headers: dict[str, str | list[str]] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = "Bearer"
    body = {"Code": error.code, "Message": error.message, **error.details}
    return Response(body, status_code=error.status, headers=headers)


def log_request(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """Chalice middleware: write a request's one line, and set the headers that all answers have."""
    observability.start()
    started = time.perf_counter()
    response = get_response(request)
    response.headers = {**_HEADERS, **response.headers}
    observability.log(
        "request",
        {
            "method": request.method,
            "route": request.path,
            "status": response.status_code,
            "duration_ms": round((time.perf_counter() - started) * 1000, 1),
        },
        level=logging.ERROR if response.status_code >= AppError.status else logging.INFO,
    )
    return response


def authenticate(request: Request) -> Principal:
    """Return who calls; raises Unauthorized without a token that holds."""
    principal = runtime.current().tokens.principal(request.headers.get(AUTHORIZATION))
    observability.bind(principal=principal.name)
    return principal


def parse_parameters(request: Request) -> dict[str, Any]:
    """Return the query's parameters and the body's (JSON object, form or none) in one.

    Raises:
        TooLarge: the body is larger than any honest one.
        BadRequest: the body is neither, or a parameter was given twice.
    """
    query = request.query_params or MultiDict({})
    body = _body_parameters(request)
    if body.keys() & query.keys() or any(len(query.getlist(name)) > 1 for name in query):
        raise BadRequest(_TWICE)
    return {**query, **body}


def read_body(request: Request) -> bytes:
    """Return a request's body; raises TooLarge where it is over MAX_BODY_BYTES."""
    body = request.raw_body
    if isinstance(body, str):
        body = body.encode()
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge(f"The body is over {MAX_BODY_BYTES} bytes.")
    return body


def _body_parameters(request: Request) -> Mapping[str, Any]:
    body = read_body(request)
    if request.method == "GET" or not body.strip():
        return {}
    # What `curl -d '{…}'` sends calls itself a form, and no form begins like that.
    if FORM in request.headers.get("content-type", "").lower() and not body.startswith(b"{"):
        form = Form.parse(body)
        if any(len(form.getall(name)) > 1 for name in form):
            raise BadRequest(_TWICE)
        return form
    try:
        return parse_json_object(body.decode())
    except UnicodeDecodeError as error:
        raise BadRequest("The body must be UTF-8.") from error
    except JsonError as error:
        raise BadRequest(f"The body must be a JSON object or a form: {error}.") from error


def optional_sid(parameters: Mapping[str, Any], name: str, prefix: str) -> str | None:
    """Return the SID that is named *name*, None where there is none; BadRequest if malformed."""
    value = parameters.get(name)
    return None if value is None else checked_sid(value, prefix, name)


def signed_form(request: Request, service: runtime.Runtime) -> Form:
    """Return the form that Twilio posted; raises InvalidSignature where it was not Twilio."""
    form = Form.parse(read_body(request))
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
