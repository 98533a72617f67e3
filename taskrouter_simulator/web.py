"""What every route shares: who may call it, and JSON that any text fits into."""

import ipaddress
import json
from collections.abc import Collection
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


def is_foreign(request: Request, names: Collection[str]) -> bool:
    """Whether a web page may have sent it that is not the simulator's own, seen on this machine.

    A page of another origin says so in Origin. One whose own name has come to resolve to this
    address is of the same origin in the browser's eyes; it shows in Host, by a name that the public
    DNS can hold. An SDK sends no Origin, and calls under an address, a name without a dot, or one
    of the names.

    Args:
        request: the request.
        names: further hosts that are ours.
    """
    host = _host(request)
    own = _is_same_origin(request) and _is_loopback(host)
    return ("origin" in request.headers and not own) or not (_is_private(host) or host in names)


def _is_private(host: str) -> bool:
    """Whether no page can be of that host: an address, or a name without a dot."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." not in host
    return True


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
