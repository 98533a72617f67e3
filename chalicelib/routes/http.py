"""Code shared by routes: errors, parameters, authentication and the request log."""

import codecs
import functools
import logging
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import Any

from chalice.app import Blueprint, MultiDict, Request, Response

from chalicelib import observability, runtime
from chalicelib.adapters.twilio import signature
from chalicelib.config import SettingsError
from chalicelib.domain.auth import Action
from chalicelib.domain.callbacks import Form
from chalicelib.domain.errors import (
    AppError,
    BadRequest,
    Forbidden,
    InvalidSignature,
    MethodNotAllowed,
    TooLarge,
    Unauthorized,
)
from chalicelib.domain.json_text import (
    JsonError,
    parse_json_object,
    replace_lone_surrogates,
    to_json,
)
from chalicelib.domain.messages import display_name, nearest_name
from chalicelib.domain.reservations import Delivery
from chalicelib.domain.sids import checked_sid

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"
UNTYPED = "application/octet-stream"
"""The content type that some clients, such as aiohttp, send with an empty body."""

_HEADERS = {
    # TaskRouter requires this header. API Gateway's default is also JSON, but is not guaranteed.
    "Content-Type": JSON,
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}

AUTHORIZATION = "Authorization"
IDEMPOTENCY_KEY = "Idempotency-Key"
IF_NONE_MATCH = "If-None-Match"
_ALLOWED_HEADERS = f"{AUTHORIZATION}, Content-Type, {IDEMPOTENCY_KEY}, {IF_NONE_MATCH}"

MAX_BODY_BYTES = 128 * 1024
"""Large enough for two attribute documents at Twilio's 4,096-character limit, percent-encoded."""

_MAX_SHOWN_LENGTH = 15
"""Maximum length of a URL part in the log. Longer parts may be secrets."""

_MAX_UNKNOWN_NAMES = 2
"""Maximum number of unknown parameters that a message lists."""

View = Callable[..., Any]
Parameters = Mapping[str, Any]


def route(
    blueprint: Blueprint,
    path: str,
    *,
    methods: list[str],
    action: Action | None,
    parameters: Collection[str] | None = None,
    tutorial_methods: Collection[str] = (),
) -> Callable[[View], View]:
    """Register a view, authorize its callers, and convert its errors into responses.

    Chalice would log the message of an uncaught error, which may repeat request data.

    Args:
        blueprint: the blueprint to register the route with.
        path: the path of the route.
        methods: the HTTP methods.
        action: the action that the view performs. The caller needs a bearer token that allows the
            action, and the view gets the caller's Principal and the request's parameters as its
            first arguments. The body may be JSON, a form or empty, and web pages from the origin
            in CORS_ALLOW_ORIGIN may call the route. None if the route needs no token, because
            Twilio calls it or because it is public.
        parameters: the names of all parameters; a request with any other parameter is refused.
            None if the view checks the names, or if the route needs no token.
        tutorial_methods: the methods that are supported only if TUTORIAL_ROUTES is true.
    """
    # Chalice treats a request without a content type as JSON.
    is_webhook = action is None and "GET" not in methods
    content_types = [FORM] if is_webhook else [JSON, FORM, UNTYPED]

    def register(view: View) -> View:
        allows_cors = action is not None
        authorized = view
        if action is not None:
            authorized = _with_authorization(view, blueprint, action, parameters, tutorial_methods)
        respond = with_responses(authorized, allows_cors=allows_cors, is_webhook=is_webhook)
        blueprint.route(path, methods=methods, content_types=content_types)(respond)
        if allows_cors:
            # Browsers send a preflight request before sending a token or JSON to another origin.
            @functools.wraps(view)
            def preflight(**_path_parameters: str) -> Response:
                return _preflight([m for m in methods if _is_supported(m, tutorial_methods)])

            blueprint.route(path, methods=["OPTIONS"])(with_responses(preflight, allows_cors=True))
        return respond

    return register


def _with_authorization(
    view: View,
    blueprint: Blueprint,
    action: Action,
    parameters: Collection[str] | None,
    tutorial_methods: Collection[str],
) -> View:
    """Return a view that checks the token, the method and the parameters before it calls *view*."""

    @functools.wraps(view)
    def call(**path_parameters: str) -> Any:
        request = blueprint.current_request
        principal = runtime.current().tokens.principal(request.headers.get(AUTHORIZATION))
        observability.bind(principal=principal.name)
        principal.authorize(action)
        if tutorial_methods and not _is_supported(request.method, tutorial_methods):
            # Chalice's message for a method without a route.
            raise MethodNotAllowed(f"Unsupported method: {request.method}")
        received = parse_parameters(request)
        if parameters is not None:
            check_names(received, parameters)
        return view(principal, received, **path_parameters)

    return call


def _is_supported(method: str, tutorial_methods: Collection[str]) -> bool:
    """Return whether the stage supports a registered method.

    All methods are registered in every stage, because Chalice imports the app to find its routes
    before the settings of the stage are known.
    """
    return method not in tutorial_methods or runtime.current().settings.tutorial_routes


def with_responses(view: View, *, allows_cors: bool, is_webhook: bool = False) -> View:
    """Return a view that converts the result or error of *view* into a response."""

    @functools.wraps(view)
    def respond(**path_parameters: str) -> Response:
        try:
            result = view(**path_parameters)
            response = result if isinstance(result, Response) else Response(result)
            if allows_cors:
                _allow_origin(response)
        except AppError as error:
            response = _error_response(error)
            if is_webhook and isinstance(error, BadRequest):
                observability.bind(reason=error.message)  # contains no parameter value
            if allows_cors:
                _allow_origin(response)
        except SettingsError as error:
            observability.log_crash("settings", error)
            body = {"Code": "SettingsError", "Message": str(error)}
            response = Response(body, status_code=500)
        except Exception as error:  # noqa: BLE001  the last resort
            observability.log_crash("crash", error)
            body = {"Code": AppError.code, "Message": "An internal server error occurred."}
            response = Response(body, status_code=AppError.status)
        return response

    return respond


def _allow_origin(response: Response) -> None:
    origin = runtime.current().settings.cors_allow_origin
    if origin:
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Expose-Headers"] = "ETag, Retry-After, Server-Time"
        response.headers["Vary"] = "Origin"


def _preflight(methods: list[str]) -> Response:
    if not runtime.current().settings.cors_allow_origin:
        raise Forbidden(
            "Pages from other origins may not call this service. See CORS_ALLOW_ORIGIN."
        )
    headers: dict[str, str | list[str]] = {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": _ALLOWED_HEADERS,
        "Access-Control-Max-Age": "600",
    }
    return Response("", status_code=204, headers=headers)


def _error_response(error: AppError) -> Response:
    observability.bind(error=error.code, reason=error.reason)
    headers: dict[str, str | list[str]] = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = error.challenge
    body = {"Code": error.code, "Message": error.message, **error.details}
    return Response(body, status_code=error.status, headers=headers)


def log_request(request: Request, get_response: Callable[[Request], Response]) -> Response:
    """Log each request; serialize each response and add the default headers.

    This function is Chalice middleware. Chalice would escape all characters other than ASCII, and
    a lone surrogate from a request would make the Lambda runtime fail.
    """
    observability.start()
    started = time.perf_counter()
    response = get_response(request)
    if not isinstance(response.body, str):
        response.body = replace_lone_surrogates(to_json(response.body))
    response.headers = {**_HEADERS, **response.headers}
    observability.log(
        "request",
        observability.RequestLine(
            method=request.method,
            route=request.path,
            status=response.status_code,
            duration_ms=round((time.perf_counter() - started) * 1000, 1),
        ),
        level=logging.ERROR if response.status_code >= AppError.status else logging.INFO,
    )
    return response


def parse_parameters(request: Request) -> dict[str, Any]:
    """Return the parameters of the query string and of the body, if there is one.

    The body is a JSON object or a form.

    Raises:
        TooLarge: the body is larger than MAX_BODY_BYTES.
        BadRequest: the body is malformed, a GET request has a body, or a parameter is repeated.
    """
    query = request.query_params or MultiDict({})
    body = _parse_body(request)
    for name in query:
        if name in body or len(query.getlist(name)) > 1:
            raise _repeated(name)
    return {**query, **body}


def _repeated(name: str) -> BadRequest:
    return BadRequest(f'The parameter "{display_name(name)}" is repeated. Send it once.')


def check_names(
    parameters: Collection[str],
    names: Collection[str],
    hints: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Raise BadRequest, with suggestions, if there are unknown parameters.

    Args:
        parameters: the names of the received parameters.
        names: the names of all parameters of the route.
        hints: additional suggestions; see `nearest_name`.
    """
    unknown = [name for name in parameters if name not in names]
    if not unknown:
        return
    sentences = [
        f'There is no parameter "{display_name(name)}"{_advice(name, names, hints)}'
        for name in unknown[:_MAX_UNKNOWN_NAMES]
    ]
    known = f"The parameters are: {', '.join(names)}." if names else "This route has no parameters."
    raise BadRequest(" ".join([*sentences, known]))


def _advice(name: str, names: Collection[str], hints: Mapping[str, str]) -> str:
    """Return the end of a sentence about an unknown parameter."""
    from chalicelib.routes import rest_names  # noqa: PLC0415  needed for error messages only

    known = {known: known for known in names}
    counterparts = {rest: name for rest, name in rest_names.COUNTERPARTS.items() if name in names}
    intended = nearest_name(name, (), {**known, **counterparts, **hints})
    if intended is None and (reason := nearest_name(name, (), rest_names.EXPLANATIONS)):
        return f": {reason}."
    intended = intended or nearest_name(name, names)
    return f"; did you mean {intended}?" if intended else "."


def read_body(request: Request) -> bytes:
    """Return the body without a byte order mark; raise TooLarge if it exceeds MAX_BODY_BYTES."""
    body = request.raw_body
    if isinstance(body, str):
        body = body.encode()
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge(f"The body is larger than {MAX_BODY_BYTES} bytes.")
    return body.removeprefix(codecs.BOM_UTF8)


def _parse_body(request: Request) -> Mapping[str, Any]:
    body = read_body(request)
    if not body.strip():
        return {}
    if request.method == "GET":
        raise BadRequest(
            "A GET request must not have a body. Send its parameters in the query string."
        )
    # `curl -d '{…}'` declares JSON as a form. No form starts with a brace.
    if FORM in request.headers.get("content-type", "").lower() and not body.startswith(b"{"):
        form = Form.parse(body)
        for name in form:
            if len(form.getall(name)) > 1:
                raise _repeated(name)
        return form
    try:
        return parse_json_object(body.decode())
    except UnicodeDecodeError as error:
        raise BadRequest("The body must be UTF-8.") from error
    except JsonError as error:
        raise BadRequest(f"The body is neither a form nor a valid JSON object: {error}.") from error


def optional_sid(parameters: Parameters, name: str, prefix: str) -> str | None:
    """Return the SID in an optional parameter; raise BadRequest if the SID is malformed."""
    value = parameters.get(name)
    return None if value is None else checked_sid(value, prefix, name)


def signed_form(request: Request, service: runtime.Runtime) -> tuple[Form, Delivery]:
    """Return the posted form and its delivery; raise InvalidSignature if Twilio did not sign it."""
    received_at = service.clock.now_ms()
    body = read_body(request)
    url = _requested_url(request, service.settings.public_base_url)
    parameters = request.query_params or MultiDict({})
    query = [(name, value) for name in parameters for value in parameters.getlist(name)]
    header = request.headers.get(signature.HEADER)
    settings = request.headers.get(signature.SETTINGS_HEADER)
    try:
        # Most requests that Twilio did not send fail this check, which is cheaper than parsing.
        signature.check_header(header, settings)
        form = Form.parse(body)
        signed_url = service.signatures.verify(
            url, form, header, settings, query=query, other_urls=lambda: _other_urls(request, url)
        )
    except InvalidSignature as error:
        observability.bind(
            checked_url=mask_url(url, str(request.path), query),
            likely_cause=error.likely_cause,
            signed=False,
        )
        raise
    observability.bind(signed=True)
    return form, Delivery(received_at, str(request.path), signed_url, header or "", settings)


def _requested_url(request: Request, base_url: str) -> str:
    """Return the URL that Twilio requested, without its query string."""
    path = str(request.context.get("path"))
    if not base_url:
        return f"https://{request.context.get('domainName')}{path}"
    # PUBLIC_BASE_URL replaces the start of the path, such as the stage.
    route = str(request.context.get("resourcePath"))
    _, found, rest = path.rpartition(route)
    return f"{base_url}{route}{rest if found else ''}"


def _other_urls(request: Request, url: str) -> Iterator[str]:
    """Yield the URLs that Twilio may have requested instead of *url*, without query strings."""
    host, _, path = url.partition("://")[2].partition("/")
    names = ("host", "x-forwarded-host")
    hosts = [host, request.context.get("domainName"), *map(request.headers.get, names)]
    for other_host in dict.fromkeys(filter(None, hosts)):
        for other_path in dict.fromkeys((f"/{path}", str(request.context.get("path")))):
            yield f"https://{other_host}{other_path}"
            yield f"http://{other_host}{other_path}"


def mask_url(url: str, route: str, query: list[tuple[str, str]]) -> str:
    """Return *url* and *query* as one URL, with ``***`` instead of parts that may be secrets.

    The result shows the first path segment before the route, which is usually the stage, and the
    names of the first query parameters. A long segment or name is masked too.
    """
    scheme, _, address = url.partition("://")
    # If the URL does not contain the route, *rest* is the whole address.
    base, _, rest = address.rpartition(route)
    host, *segments = base.split("/")
    path = "/".join([host, *map(_mask_if_long, segments[:1]), *("***" for _ in segments[1:])])
    end = rest if rest in ("", "/") else "/***"
    names = "&".join(f"{_mask_if_long(name)}=***" if value else "***" for name, value in query[:10])
    return f"{scheme}://{path}{route}{end}{'?' if query else ''}{names}"


def _mask_if_long(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_LENGTH else "***"
