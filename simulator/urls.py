"""URLs."""

import re
from urllib.parse import urlsplit


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
