"""What every route shares: who may call it, and JSON that any text fits into."""

import ipaddress
import json
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse


class AsciiJson(JSONResponse):
    """JSON in ASCII: an app may answer with half a surrogate pair, which UTF-8 cannot hold."""

    def render(self, content: Any) -> bytes:
        """The content as bytes."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def is_local(request: Request) -> bool:
    """Whether the peer is this machine, and no web page of another origin sent it here."""
    peer = request.client.host if request.client else ""
    return _is_loopback(peer) and _is_loopback(_host(request)) and _is_same_origin(request)


def is_foreign(request: Request) -> bool:
    """Whether a web page sent it that is not the simulator's own, seen on this machine.

    Such a page may have had its own name resolve to this address, so that an Origin like the Host
    proves nothing unless both are loopback. An SDK sends no Origin, under whatever name it calls.
    """
    own = _is_same_origin(request) and _is_loopback(_host(request))
    return "origin" in request.headers and not own


def _host(request: Request) -> str:
    return _name(f"//{request.headers.get('host', '')}")


def _is_same_origin(request: Request) -> bool:
    origin = request.headers.get("origin")
    return origin is None or origin.partition("://")[2] == request.headers.get("host")


def _name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
