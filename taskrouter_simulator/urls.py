"""URLs."""

import re
from urllib.parse import urljoin, urlsplit


def is_url(text: str) -> bool:
    """Whether the text is an absolute http(s) URL, encoded as one is sent."""
    if not re.fullmatch(r"[!-~]+", text):
        return False
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def resolve(base: str, url: str) -> str | None:
    """An absolute URL from one that may be relative to the base; None if that is no URL."""
    try:
        target = urljoin(base, url)
    except ValueError:
        return None
    return target if is_url(target) else None
