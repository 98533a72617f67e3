"""Access checks, request bodies and JSON responses, shared by the route modules."""

import hmac
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse

from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.origins import is_foreign, is_from_proxy, is_loopback

_MAX_BODY_BYTES = 4_000_000


class SnapshotError(ValueError):
    """A snapshot cannot be restored; the message states the reason."""


class AsciiJsonResponse(JSONResponse):
    """A JSON response in ASCII.

    An app may return an unpaired surrogate, which UTF-8 cannot encode.
    """

    def render(self, content: Any) -> bytes:
        """Return the content as bytes."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def is_local(request: Request) -> bool:
    """Return whether the request is from a local client and not from another site's page.

    A request from a proxy is not local, because a proxy on this machine may have remote clients.
    """
    host, origin = request.headers.get("host", ""), request.headers.get("origin")
    peer = request.client.host if request.client else ""
    is_direct = is_loopback(peer) and not is_from_proxy(request.headers.keys())
    return is_direct and is_loopback(host) and not is_foreign(host, origin)


def has_token(request: Request, token: str) -> bool:
    """Return whether the request sends the token as `Authorization: Bearer`.

    Args:
        request: The request.
        token: The expected token; "" makes the result False.
    """
    scheme, _, sent = request.headers.get("authorization", "").partition(" ")
    matches = hmac.compare_digest(sent.encode(), token.encode())
    return bool(token) and scheme.lower() == "bearer" and matches


async def read_body(request: Request) -> bytes:
    """Return the body of a request.

    Raises:
        BadRequest: The body is too long.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY_BYTES:
            raise BadRequest(f"The body is longer than {_MAX_BODY_BYTES} bytes")
    return body
