"""Access checks and JSON responses, shared by all routes."""

import ipaddress
import json
from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse


class AsciiJsonResponse(JSONResponse):
    """A JSON response in ASCII.

    An app may return an unpaired surrogate, which UTF-8 cannot encode.
    """

    def render(self, content: Any) -> bytes:
        """Return the content as bytes."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode()


def is_local(request: Request) -> bool:
    """Return whether a request comes from this machine and not from a foreign page.

    A foreign page is a web page of another origin.
    """
    origin, authority = request.headers.get("origin"), request.headers.get("host", "")
    peer = request.client.host if request.client else ""
    return (
        _is_loopback(peer)
        and _is_loopback(_hostname(authority))
        and (origin is None or origin.partition("://")[2] == authority)
    )


def is_foreign(request: Request, allowed_hosts: Collection[str]) -> bool:
    """Return whether another site's web page may have sent the request.

    A browser sends the page's origin in `Origin`, which must be the origin of the simulator's own
    page, opened on this machine. In a DNS rebinding attack, the page's host name resolves to this
    machine, so the browser regards the request as same-origin, but `Host` is a public DNS name. An
    SDK sends no `Origin`, and its `Host` is an IP address, a name without a dot, or an allowed
    host.

    Args:
        request: The request.
        allowed_hosts: Additional accepted host names, in lower case.
    """
    origin, authority = request.headers.get("origin"), request.headers.get("host", "")
    host = _hostname(authority)
    if origin is not None and (origin.partition("://")[2] != authority or not _is_loopback(host)):
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return "." in host and host not in allowed_hosts
    return False


def _hostname(authority: str) -> str:
    """Return the host name of a Host header, in lower case; empty if it is malformed."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
