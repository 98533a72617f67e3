"""Starlette in, handlers out: authentication, the form, the error body, the log."""

import asyncio
import base64
import binascii
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest, NotFound, Refusal
from taskrouter_simulator.faults import Fault, Faults
from taskrouter_simulator.rest.call import Answer, Call, refused
from taskrouter_simulator.rest.faulty import CutConnection, error_answer
from taskrouter_simulator.rest.forms import Form
from taskrouter_simulator.rest.table import ROUTES, Handler
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.web import AsciiJson, is_foreign

_MAX_BODY = 4_000_000

_FOREIGN = (
    "Requests of web pages of another origin are refused; so is a Host with a dot in its name that "
    "SIMULATOR_ALLOWED_HOSTS does not list"
)

Record = Callable[..., None]


class Unauthenticated(Refusal):
    """No credentials, or wrong ones."""

    status = 401
    code = 20003


class Foreign(Refusal):
    """A web page sends what only an SDK should: the made-up credentials are no secret."""

    status = 403
    code = 20003


class MethodNotAllowed(Refusal):
    """The path is right, the method is not."""

    status = 405
    code = 20004


@dataclass(frozen=True, repr=False)
class Credentials:
    """The pairs of user name and password that open the REST API."""

    pairs: tuple[tuple[str, str], ...]

    def check(self, header: str | None) -> None:
        """Hold an Authorization header against the pairs.

        Raises:
            Unauthenticated: it fits none.
        """
        scheme, _, encoded = (header or "").partition(" ")
        try:
            decoded = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            decoded = b""
        known = (f"{user}:{password}".encode() for user, password in self.pairs)
        fits = [hmac.compare_digest(decoded, pair) for pair in known]
        if scheme.lower() != "basic" or not any(fits):
            raise Unauthenticated("Authenticate")


@dataclass(frozen=True)
class Rest:
    """Twilio's REST API over an engine.

    Args:
        engine: gives the engine of now, which a reset replaces.
        credentials: who may call.
        record: notes each call in the log.
        faults: what is to go wrong.
    """

    engine: Callable[[], Engine]
    credentials: Credentials
    record: Record
    faults: Faults

    def routes(self) -> list[Route]:
        """Starlette's routes, one a path, and the 404 for all others."""
        every = [
            Route(path, self._endpoint(handlers), methods=_METHODS)
            for path, handlers in ROUTES.items()
        ]
        return [*every, Route("/{path:path}", self._endpoint({}), methods=_METHODS)]

    def _endpoint(self, handlers: Mapping[str, Handler]) -> Callable[[Request], Any]:
        async def endpoint(request: Request) -> Response:
            path = request.scope["path"]
            fault = self.faults.take("request", request.method, path)
            if fault and fault.kind == "latency" and fault.moment == "before":
                await asyncio.sleep(fault.seconds)
            try:
                answer, parameters = await self._answer(request, handlers, fault)
            except ClientDisconnect:
                return Response(status_code=400)  # nobody is there to read it
            self.record(
                "request",
                method=request.method,
                path=path,
                parameters=parameters,
                status=answer.status,
                answer=answer.body,
                fault=f"{fault.kind} {fault.moment}" if fault else None,
            )
            if fault and fault.kind == "latency" and fault.moment == "after":
                await asyncio.sleep(fault.seconds)
            return (
                CutConnection()
                if fault and fault.kind == "cut"
                else _response(answer, self.engine().settings)
            )

        return endpoint

    async def _answer(
        self, request: Request, handlers: Mapping[str, Handler], fault: Fault | None
    ) -> tuple[Answer, dict[str, str]]:
        """The answer and the parameters, for the log.

        A fault before the effect leaves the handler out; one after it only spoils the answer.
        """
        parameters: dict[str, str] = {}
        settings = self.engine().settings
        problem = settings.problem_details
        spoils = fault is not None and fault.kind in {"error", "cut"}
        try:
            if is_foreign(request, settings.names()):
                raise Foreign(_FOREIGN)
            self.credentials.check(request.headers.get("authorization"))
            form = Form(await _body(request))
            query = Form(request.scope["query_string"].decode("latin-1"))
            parameters = dict([*query.pairs, *form.pairs])
            if spoils and fault and fault.moment == "before":
                return error_answer(fault, problem=problem), parameters
            answer = self._handle(request, handlers, form, query)
        except Refusal as refusal:
            answer = refused(refusal, problem=problem)
        if fault and fault.kind == "error":
            return error_answer(fault, problem=problem), parameters
        return answer, parameters

    def _handle(
        self, request: Request, handlers: Mapping[str, Handler], form: Form, query: Form
    ) -> Answer:
        path = request.scope["path"]
        if not handlers:
            raise NotFound(path.removeprefix("/v1"))
        handler = handlers.get(request.method)
        if handler is None:
            raise MethodNotAllowed(f"Method {request.method} is not allowed on {path}")
        call = Call(
            engine=self.engine(),
            base=base_url(request),
            path=path,
            ids=request.path_params,
            form=form,
            query=query,
            if_match=request.headers.get("if-match"),
        )
        return handler(call)


_METHODS = ["GET", "POST", "DELETE", "PUT", "PATCH"]


def base_url(request: Request) -> str:
    """Scheme, host and port as the client knows them."""
    host = request.headers.get("host", "")
    if not re.fullmatch(r"[\w.-]+(:[0-9]{1,5})?|\[[0-9a-fA-F:]+\](:[0-9]{1,5})?", host):
        address, port = request.scope["server"]
        host = f"{address}:{port}"
    return f"{request.scope['scheme']}://{host}"


async def _body(request: Request) -> str:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise BadRequest(f"The body is longer than {_MAX_BODY} bytes")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_form = kind in {"", "application/x-www-form-urlencoded"}
    return body.decode("utf-8", errors="replace") if is_form else ""


def _response(answer: Answer, settings: Settings) -> Response:
    headers = _limits(answer, settings)
    if answer.etag:
        headers["ETag"] = answer.etag
    if answer.status == Unauthenticated.status:
        headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
    if answer.body is None:
        return Response(status_code=answer.status, headers=headers)
    return AsciiJson(answer.body, answer.status, headers, answer.kind)


def _limits(answer: Answer, settings: Settings) -> dict[str, str]:
    """What is told of rate limits, as far as the settings say."""
    headers = {}
    too_many = answer.status == HTTPStatus.TOO_MANY_REQUESTS
    if limit := settings.rate_limit:
        headers["X-Rate-Limit-Limit"] = headers["X-Rate-Limit-Config"] = str(limit)
        headers["X-Rate-Limit-Remaining"] = "0" if too_many else str(limit)
    if answer.retry_after is not None:
        headers["Retry-After"] = str(answer.retry_after)
    elif too_many and settings.retry_after:
        headers["Retry-After"] = str(settings.retry_after)
    return headers
