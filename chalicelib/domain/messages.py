"""Helpers for error messages: suggested names, and text that is safe to log and show."""

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import MappingProxyType

MAX_NAME_LENGTH = 64
"""Maximum length of an unknown name in a message, because the name may come from a request."""

MAX_REASON_LENGTH = 160
"""Maximum length of an external service's message in a message of this service."""

_MAX_SENTENCE_LENGTH = 1_000

_MIN_PRIVATE_LENGTH = 4
"""Minimum length of private text that is removed even from inside longer words."""

_MAYBE_PRIVATE = r"""
    \{(?:.*\}|.*) | \[(?:.*\]|.*)              # JSON, even if it is cut off
    | "(?:.*"|.*) | (?<!\w)'(?:.*'(?!\w)|.*)     # quoted text, which may contain quotes
    | (?<=\s)\S*:(?=\s|$).*                    # text after a colon, except after the first word
    | \S*[:@]\S+                               # URLs, addresses and contacts
    | (?<!\w)\+?\d[\d\ .()-]{4,}\d(?!\w)       # phone and card numbers, but not SIDs
"""
"""A verbose regular expression for text that may be a contact or the value of an attribute."""


def nearest_name(
    name: str,
    candidates: Iterable[str],
    hints: Mapping[str, str] = MappingProxyType({}),
    *,
    cutoff: float = 0.6,
) -> str | None:
    """Return the candidate most similar to *name*; None if no candidate is similar.

    Args:
        name: an unknown name. Its case is ignored.
        candidates: the valid names.
        hints: suggestions, by other names that users may know, such as names in Twilio's REST API.
            The case and the underscores of these names are ignored.
        cutoff: minimum similarity, from 0 to 1.
    """
    from difflib import get_close_matches  # noqa: PLC0415  needed for error messages only

    spelling = name[:MAX_NAME_LENGTH].lower()
    for hinted, suggested in hints.items():
        if hinted.lower().replace("_", "") == spelling.replace("_", ""):
            return suggested
    by_spelling = {candidate.lower(): candidate for candidate in candidates}
    matches = get_close_matches(spelling, by_spelling, cutoff=cutoff)
    return by_spelling[matches[0]] if matches else None


def suggestion(
    name: str, candidates: Collection[str], hints: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return the end of a message about an unknown name: a similar name, or all names."""
    similar = nearest_name(name, candidates, hints)
    return f"; did you mean {similar}?" if similar else f"; use one of {', '.join(candidates)}."


def display_name(name: str) -> str:
    """Return an unknown name for a message, on one line and at most MAX_NAME_LENGTH long."""
    return json.dumps(name, ensure_ascii=False)[1:-1][:MAX_NAME_LENGTH]


def public_text(message: str, private: Iterable[str]) -> str:
    """Return an external service's message as one line that may be logged and shown to callers.

    Args:
        message: the message, which may repeat parts of the request or of stored data.
        private: strings sent with the request that must not be repeated. If a string is JSON,
            neither the string nor any value in the JSON may be repeated.

    Returns:
        The message without its final period, truncated to MAX_REASON_LENGTH characters; empty if
        the message is too long to be a sentence. "…" replaces private strings. It also replaces
        a word of at least four characters if a word in a private string begins with it. Finally,
        "…" replaces possible attribute values and contacts: JSON, quoted text, text after a colon
        (except after the first word), URLs, addresses, and phone or card numbers.
    """
    import re  # noqa: PLC0415  needed for error messages only

    if len(message) > _MAX_SENTENCE_LENGTH:
        return ""
    message = re.sub(r"\s+", " ", message)
    private = [*private]
    values = {text for value in private for text in [*_values_in(value)] or [value]}
    texts = {re.sub(r"\s+", " ", text) for text in (*private, *values)}
    # Replace longer strings first, because a string may contain a shorter one.
    patterns = [
        re.escape(text) if len(text) >= _MIN_PRIVATE_LENGTH else rf"(?<!\w){re.escape(text)}(?!\w)"
        for text in sorted(texts, key=len, reverse=True)
        if text.strip()
    ]
    if patterns:
        message = re.sub("|".join(patterns), "…", message, flags=re.IGNORECASE)
    words = {word.casefold() for text in values for word in re.findall(r"\w+", text)}
    message = re.sub(
        rf"\w{{{_MIN_PRIVATE_LENGTH},}}",
        lambda match: (
            "…" if any(word.startswith(match[0].casefold()) for word in words) else match[0]
        ),
        message,
    )
    message = re.sub(_MAYBE_PRIVATE, "…", message, flags=re.VERBOSE | re.DOTALL)
    return re.sub(r"…(\s*…)+", "…", message)[:MAX_REASON_LENGTH].strip(" .")


def _values_in(text: str) -> Iterator[str]:
    """Yield all strings, numbers and other scalars in a JSON text; nothing if it is not JSON."""
    try:
        pending = [json.loads(text)]
    except (ValueError, RecursionError):
        return
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending += value.values()
        elif isinstance(value, list):
            pending += value
        else:
            yield value if isinstance(value, str) else json.dumps(value)


def describe_connection_failure(url: str, error: BaseException) -> str:
    """Return a service's address and the failure, as in "at … did not respond in time".

    Args:
        url: the requested URL. Only its scheme, host and port are returned, because the other
            parts may contain credentials or attributes.
        error: an HTTP client's error, whose causes are examined too.
    """
    from http.client import HTTPException  # noqa: PLC0415  needed for error messages only
    from urllib.parse import urlsplit  # noqa: PLC0415

    parts = urlsplit(url)
    address = f"at {parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    names = [type(cause).__name__ for cause in causes]
    reason = getattr(causes[-1], "strerror", None) or "the connection failed"
    # urllib3 and requests have their own errors for malformed responses. The cause of urllib3's
    # ProtocolError is an OSError if the connection failed.
    is_malformed = any("Decod" in name or name == "InvalidHeader" for name in names) or (
        "ProtocolError" in names and not isinstance(causes[-1], OSError)
    )
    failures = (
        (any(name.startswith("Proxy") for name in names), "can't be reached: the proxy failed"),
        (any("Timeout" in name for name in names), "did not respond in time"),
        ("gaierror" in names, "can't be reached: unknown host name"),
        ("ConnectionRefusedError" in names, "can't be reached: connection refused"),
        (_includes(causes, ConnectionError), "closed the connection without a response"),
        (
            is_malformed or _includes(causes, HTTPException),
            "returned an incomplete or malformed response",
        ),
        (True, f"can't be reached: {reason}"),
    )
    return f"{address} {next(failure for applies, failure in failures if applies)}"


def _includes(causes: Iterable[BaseException], kind: type[BaseException]) -> bool:
    return any(isinstance(cause, kind) for cause in causes)
