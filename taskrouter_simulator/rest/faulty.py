"""A REST call that goes wrong on purpose."""

import asyncio
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from taskrouter_simulator.engine.errors import Refusal
from taskrouter_simulator.faults import Fault
from taskrouter_simulator.rest.call import Answer, refused

_TOO_MANY = 429


class _Told(Refusal):
    """The error that a fault asks for."""


def error_answer(fault: Fault, *, problem: bool) -> Answer:
    """The answer of an "error" fault, with Twilio's body, or a problem document."""
    too_many = fault.status == _TOO_MANY
    refusal = _Told("Too Many Requests" if too_many else "Internal Server Error", 20_500)
    refusal.status = fault.status
    refusal.code = 20_429 if too_many else 20_500
    return refused(refusal, problem=problem, retry_after=fault.retry_after)


class CutConnection(Response):
    """No answer at all: the connection is reset."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Abort the transport that uvicorn's `send` writes to, found by `expose_transport`."""
        del send
        await _hang_up(scope, receive)


async def _hang_up(scope: Scope, receive: Receive) -> None:
    scope["simulator.transport"].abort()
    # uvicorn would answer 500 for us if we returned before it has noticed
    while (await receive())["type"] != "http.disconnect":
        pass


def expose_transport(app: Any) -> Any:
    """Put uvicorn's transport into the scope, which ASGI has no word for.

    Who still waits for an answer when the simulator stops is hung up on, without a stack trace.
    """

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            cycle = getattr(send, "__self__", None)
            scope["simulator.transport"] = getattr(cycle, "transport", None)
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
            await _hang_up(scope, receive)

    return wrapped
