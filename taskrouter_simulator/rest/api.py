"""Adapts HTTP to REST handlers: authentication, parsing, errors, faults, logging."""

import asyncio
import base64
import binascii
import contextlib
import hmac
import json
import logging
import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import Response as HttpResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import ApiError, BadRequest, NotFound
from taskrouter_simulator.faults import Fault, Faults
from taskrouter_simulator.identifiers import Credentials
from taskrouter_simulator.origins import FOREIGN, is_foreign
from taskrouter_simulator.rest.request import Parameters, Request, Response
from taskrouter_simulator.rest.table import ROUTES, Operation
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.web import AsciiJsonResponse, read_body

_LOGGER = logging.getLogger(__name__)
_METHODS = ["GET", "POST", "DELETE", "PUT", "PATCH"]
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
_TRANSPORT = "simulator.transport"
_HOST = re.compile(r"[A-Za-z0-9_.-]+(:[0-9]{1,5})?|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?")


class Unauthenticated(ApiError):
    """The credentials are missing or wrong."""

    status = 401
    code = 20003


class Forbidden(ApiError):
    """The request may come from another site's web page.

    The test credentials are not secret, so another site may know them.
    """

    status = 403
    code = 20003


class MethodNotAllowed(ApiError):
    """The path exists, but does not accept the method."""

    status = 405
    code = 20004


class InternalError(ApiError):
    """An unexpected exception, caused by a bug in the simulator."""

    status = 500
    code = 20_500

    def __init__(self) -> None:
        super().__init__("Internal Server Error")


class InjectedError(ApiError):
    """An error injected by a fault."""

    def __init__(self, fault: Fault) -> None:
        too_many = fault.status == HTTPStatus.TOO_MANY_REQUESTS
        message = "Too Many Requests" if too_many else "Internal Server Error"
        super().__init__(message, 20_429 if too_many else 20_500)
        self.status = fault.status


def as_api_error(error: Exception) -> ApiError:
    """Return an ApiError unchanged. Log any other exception and return an InternalError."""
    if isinstance(error, ApiError):
        return error
    _LOGGER.error("Unexpected exception while handling a request", exc_info=error)
    return InternalError()


class RestApi:
    """Serves Twilio's REST API for an engine.

    Args:
        current_engine: Returns the current engine, which a reset replaces.
        settings: The settings.
        credentials: Accepted credentials.
        record: Adds an entry to the log.
        faults: Faults to inject.
    """

    def __init__(
        self,
        current_engine: Callable[[], Engine],
        settings: Settings,
        credentials: Credentials,
        record: Callable[..., None],
        faults: Faults,
    ) -> None:
        self._current_engine = current_engine
        self._settings = settings
        self._credentials = [
            f"{credentials.account_sid}:{credentials.auth_token}".encode(),
            f"{credentials.api_key_sid}:{credentials.api_key_secret}".encode(),
        ]
        self._allowed_hosts = settings.allowed_host_names()
        self._record = record
        self._faults = faults

    def routes(self) -> list[Route]:
        """Return a route for each path, and a route that returns 404 for all other paths."""
        routes = [
            Route(path, self._endpoint(operations), methods=_METHODS)
            for path, operations in ROUTES.items()
        ]
        return [*routes, Route("/{path:path}", self._endpoint({}), methods=_METHODS)]

    def _endpoint(self, operations: Mapping[str, Operation]) -> Callable[[HttpRequest], Any]:
        async def endpoint(http: HttpRequest) -> HttpResponse:
            path = http.scope["path"]
            fault = self._faults.take("request", http.method, path)
            if fault:
                engine = self._current_engine()
                await delay(fault, "before")
                if engine is not self._current_engine():
                    return CutConnection()
            try:
                response, parameters = await self._respond(http, operations, fault)
            except ClientDisconnect:
                # This response is never sent, because the client has disconnected.
                return HttpResponse(status_code=400)
            self._record(
                "request",
                method=http.method,
                path=path,
                parameters=parameters,
                status=response.status,
                answer=response.body,
                fault=f"{fault.kind} {fault.moment}" if fault else None,
            )
            if fault:
                await delay(fault, "after")
                if fault.kind == "cut":
                    return CutConnection()
            return self._to_http(response)

        return endpoint

    async def _respond(
        self, http: HttpRequest, operations: Mapping[str, Operation], fault: Fault | None
    ) -> tuple[Response, dict[str, str]]:
        """Return the response, and the parameters for the log.

        An "error" or "cut" fault with the moment "before" skips the handler. An "error" fault with
        the moment "after" replaces the response.
        """
        parameters: dict[str, str] = {}
        operation = operations.get(http.method)
        names, lists = (operation.parameters, operation.lists) if operation else ((), ())
        path = http.scope["path"]
        try:
            self._authorize(http)
            is_post = http.method == "POST"
            form = Parameters(await _read_form(http, operation), names if is_post else (), lists)
            query_text = http.scope["query_string"].decode("latin-1")
            query = Parameters(query_text, () if is_post else names, lists)
            parameters = dict([*query.pairs, *form.pairs])
            if fault and fault.moment == "before" and fault.kind in {"error", "cut"}:
                return self._error(InjectedError(fault), fault.retry_after), parameters
            if not operations:
                raise NotFound(path.removeprefix("/v1"))
            if operation is None:
                raise MethodNotAllowed(f"Method {http.method} is not allowed on {path}")
            if self._settings.unknown_parameters == "refused":
                query.require_known()
                form.require_known()
            request = Request(
                self._current_engine(),
                f"{http.scope['scheme']}://{_host(http)}",
                path,
                http.path_params,
                form,
                query,
                http.headers.get("if-match"),
            )
            response = operation.handle(request)
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - logged
            response = self._error(as_api_error(error))
        if fault and fault.kind == "error":
            response = self._error(InjectedError(fault), fault.retry_after)
        return response, parameters

    def _authorize(self, http: HttpRequest) -> None:
        """Reject requests from cross-origin web pages, and check the credentials.

        Raises:
            Forbidden: Another site's web page may have sent the request.
            Unauthenticated: The Authorization header contains no accepted credentials.
        """
        headers = http.headers
        if is_foreign(
            headers.get("host"), headers.get("origin"), allowed_hosts=self._allowed_hosts
        ):
            raise Forbidden(FOREIGN)
        scheme, _, encoded = headers.get("authorization", "").partition(" ")
        try:
            decoded = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        matches = [hmac.compare_digest(decoded, accepted) for accepted in self._credentials]
        if scheme.lower() != "basic" or not any(matches):
            raise Unauthenticated("Authenticate")

    def _error(self, error: ApiError, retry_after: int | None = None) -> Response:
        """Return an error in Twilio's usual format or, if configured, in RFC 9457 format."""
        page = f"https://www.twilio.com/docs/errors/{error.code}"
        body: dict[str, Any] = {"code": error.code, "status": error.status}
        if self._settings.problem_details:
            body |= {"type": page, "title": error.message}
            return Response(error.status, body, None, retry_after, "application/problem+json")
        body |= {"message": error.message, "more_info": page}
        return Response(error.status, body, None, retry_after)

    def _to_http(self, response: Response) -> HttpResponse:
        """Return an HTTP response with its headers, such as rate limits and the ETag."""
        headers = {}
        too_many = response.status == HTTPStatus.TOO_MANY_REQUESTS
        if limit := self._settings.rate_limit:
            headers["X-Rate-Limit-Limit"] = headers["X-Rate-Limit-Config"] = str(limit)
            headers["X-Rate-Limit-Remaining"] = "0" if too_many else str(limit)
        if response.retry_after is not None:
            headers["Retry-After"] = str(response.retry_after)
        elif too_many and self._settings.retry_after:
            headers["Retry-After"] = str(self._settings.retry_after)
        if response.version is not None:
            quote = '"' if self._settings.etag_quoted else ""
            headers["ETag"] = f"{quote}{response.version}{quote}"
        if response.status == Unauthenticated.status:
            headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
        if response.body is None:
            return HttpResponse(status_code=response.status, headers=headers)
        return AsciiJsonResponse(response.body, response.status, headers, response.media_type)


def _host(http: HttpRequest) -> str:
    """Return the Host header if it is valid; otherwise, the address of the server."""
    host = http.headers.get("host", "")
    return host if _HOST.fullmatch(host) else ":".join(map(str, http.scope["server"]))


async def _read_form(http: HttpRequest, operation: Operation | None) -> str:
    """Return the parameters in the body as a form.

    A body that is not empty must be a form, or a JSON object if the operation requires JSON. A body
    of any other type is rejected; otherwise, the caller's parameters would be ignored.
    """
    body = await read_body(http)
    expected = _JSON if operation and operation.is_json else _FORM
    content_type = http.headers.get("content-type", "").partition(";")[0].strip().lower()
    if body and content_type != expected:
        raise BadRequest(f"The Content-Type of the body must be {expected}")
    try:
        return _json_to_form(body) if expected == _JSON else body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadRequest("The body is not valid UTF-8") from error


def _json_to_form(body: bytes) -> str:
    """Encode a JSON object as a form.

    Names may begin with a lowercase or an uppercase letter, because Twilio's documentation shows
    both forms.
    """
    try:
        body_values = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not JSON or is nested too deeply") from error
    if not isinstance(body_values, dict) or not all(map(_is_list_of_strings, body_values.values())):
        raise BadRequest("The body must be a JSON object whose values are arrays of strings")
    return urlencode(
        {name[:1].upper() + name[1:]: values for name, values in body_values.items()},
        doseq=True,
        errors="replace",
    )


def _is_list_of_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


async def delay(fault: Fault, moment: str) -> None:
    """Wait if the fault is a latency fault for this moment."""
    if fault.kind == "latency" and fault.moment == moment:
        await asyncio.sleep(fault.seconds)


class CutConnection(HttpResponse):
    """A response that aborts the connection without sending any data."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Abort the connection."""
        del send
        await _abort(scope, receive)


async def _abort(scope: Scope, receive: Receive) -> None:
    scope[_TRANSPORT].abort()
    # uvicorn would send a 500 if this function returned before uvicorn noticed the disconnect. The
    # wait must continue even if a closing event loop cancels this task a second time.
    disconnected = False
    while not disconnected:
        with contextlib.suppress(asyncio.CancelledError):
            disconnected = (await receive())["type"] == "http.disconnect"


def expose_transport(app: ASGIApp) -> ASGIApp:
    """Add uvicorn's transport to the scope, because ASGI cannot abort a connection.

    When the simulator stops, clients that are waiting for a response are disconnected, and no stack
    trace is logged.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            cycle = getattr(send, "__self__", None)
            scope[_TRANSPORT] = getattr(cycle, "transport", None)
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
            await _abort(scope, receive)

    return wrapped
