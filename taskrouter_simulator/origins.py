"""Recognizes requests to this machine that a cross-origin web page may have sent.

Any page that a developer visits can send requests to loopback addresses. The browser sends the
page's origin in `Origin`. With DNS rebinding, the page's own host name resolves to a loopback
address. The browser then regards the request as same-origin, but `Host` is a public DNS name.
Programs such as SDKs and curl send no `Origin`.
"""

import ipaddress
import re
from collections.abc import Collection, Iterable

FOREIGN = (
    "Requests from cross-origin web pages and requests for unknown host names are rejected. "
    "Accepted host names are IP addresses, names without a dot, and the names in "
    "SIMULATOR_ALLOWED_HOSTS. The server's own pages must be opened at localhost, at a loopback "
    "address, or at a name in SIMULATOR_ALLOWED_HOSTS."
)
"""Error message for a request for which `is_foreign` returns True."""

NOT_LOCAL = (
    "Requests must come from this machine, with localhost or a loopback address as Host, and not "
    "through a proxy or from a cross-origin web page. Other clients of the control routes must "
    "send the token in SIMULATOR_CONTROL_TOKEN as `Authorization: Bearer`."
)
"""Error message for a request that `web.is_local` rejects.

The control routes return this message only if the request has no valid control token either.
"""

_PROXY_HEADER = re.compile("forwarded|via|x-real-ip|x-forwarded-.*")
"""Names of headers that proxies add to the requests of their clients."""

_HOST = re.compile(
    r"(?:([a-z0-9_.-]+)|\[([0-9a-f:.]+)\])(?::[0-9]{1,5})?", re.ASCII | re.IGNORECASE
)
"""The syntax of `Host`: a name or an IP address, and optionally a port."""

_PRIVATE_NAME = re.compile(r"[^.]*|[0-9]+(\.[0-9]+)*|.*:.*")
"""Names that public DNS cannot resolve: names without a dot, and IP addresses."""


def is_foreign(
    host: str | None,
    origin: str | None,
    *,
    allowed_hosts: Collection[str] = (),
    allowed_origins: Collection[str] = (),
) -> bool:
    """Return whether a cross-origin web page may have sent the request.

    Args:
        host: The `Host` header; None if the request has none. An IP address and a name without a
            dot are accepted, because DNS rebinding needs a public name.
        origin: The `Origin` header; None if the request has none. The server's own pages are
            accepted if they were opened at a loopback address or an allowed host name.
        allowed_hosts: Additional accepted host names, in lower case and without a port.
        allowed_origins: Origins of other pages that may call the server; ``*`` accepts all.
    """
    # Accept requests without `Host`, because browsers always send it. HTTP/1.0 clients can omit it.
    name = _hostname(host) if host else ""
    if name is None or not (_PRIVATE_NAME.fullmatch(name) or name in allowed_hosts):
        return True
    if origin is None or origin in allowed_origins or "*" in allowed_origins:
        return False
    is_own_page = origin in (f"http://{host}", f"https://{host}")
    return not is_own_page or not (is_loopback(name) or name in allowed_hosts)


def is_loopback(host: str) -> bool:
    """Return whether an address or a `Host` header refers to the loopback interface."""
    # A bare IPv6 address has no brackets, unlike an IPv6 address in a `Host` header.
    name = host if host.count(":") > 1 and "[" not in host else _hostname(host)
    try:
        return name == "localhost" or ipaddress.ip_address(name or "").is_loopback
    except ValueError:
        return False


def is_from_proxy(header_names: Iterable[str]) -> bool:
    """Return whether any header shows that a proxy sent the request.

    A proxy that adds none of these headers, such as nginx by default, is not recognized.

    Args:
        header_names: The names of the request's headers, in lower case.
    """
    return any(_PROXY_HEADER.fullmatch(name) for name in header_names)


def is_local_page(origin: str) -> bool:
    """Return whether a server on this machine serves the pages of an origin."""
    scheme, _, host = origin.partition("://")
    return scheme in {"http", "https"} and is_loopback(host)


def _hostname(host: str) -> str | None:
    """Return the host name in a `Host` header, in lower case, or None if it is malformed."""
    match = _HOST.fullmatch(host)
    return match and (match[1] or match[2]).lower()
