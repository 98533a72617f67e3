"""Sorts and paginates lists; page tokens stay valid when resources are deleted."""

import base64
import hmac
import json
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Resource
from taskrouter_simulator.identifiers import derived_hex

AnyResource = TypeVar("AnyResource", bound=Resource)
SortKey = Callable[[Any], Any]
"""Returns the value by which a resource is sorted: a number or a string."""
Position = list[Any]
"""The sort keys of a resource, which may have been deleted."""

_DIRECTIONS = {"asc", "desc"}
_TOKEN_KEY = derived_hex("page-token").encode()
"""The key that authenticates page tokens.

The key is the same in every run, so page tokens stay valid after a snapshot is restored.
"""
_MAC_LENGTH = 22
"""Length of the code that authenticates a page token, in characters."""


@dataclass(frozen=True)
class Ordering:
    """The sort order of a list.

    Attributes:
        text: The order as text.
        sort_keys: Functions that return the sort keys, and whether each key is descending. No two
            resources have the same keys.
    """

    text: str
    sort_keys: tuple[tuple[SortKey, bool], ...]

    def sort(self, resources: Iterable[AnyResource]) -> list[AnyResource]:
        """Return the resources in this order."""
        ordered = list(resources)
        for key, descending in reversed(self.sort_keys):
            ordered.sort(key=key, reverse=descending)
        return ordered

    def position(self, resource: Resource) -> Position:
        """Return the position of a resource."""
        return [key(resource) for key, _ in self.sort_keys]

    def is_before(self, position: Position, other: Position) -> bool:
        """Return whether a position precedes another position."""
        for first, second, (_, descending) in zip(position, other, self.sort_keys, strict=True):
            if first != second:
                return bool(second < first if descending else first < second)
        return False


BY_CREATION = Ordering("", ((lambda resource: resource.sequence, False),))


def parse_ordering(text: str | None, keys: Mapping[str, SortKey]) -> Ordering:
    """Parse a sort order such as `Priority:desc,DateCreated:asc`.

    Resources that are equal in this order are sorted in order of creation.

    Args:
        text: Comma-separated attributes and directions; None for the order of creation.
        keys: Functions that return the value of an attribute, by attribute name.

    Raises:
        BadRequest: The text is not a sort order.
    """
    if text is None:
        return BY_CREATION
    parts: dict[str, str] = {}
    for part in text.split(","):
        name, _, direction = part.strip().partition(":")
        if name not in keys or name in parts or direction not in _DIRECTIONS:
            raise BadRequest(
                f"Ordering must be a comma-separated list of {', '.join(keys)}, each at most once"
                " and followed by :asc or :desc"
            )
        parts[name] = direction
    sort_keys = [(keys[name], direction == "desc") for name, direction in parts.items()]
    return Ordering(
        ",".join(f"{name}:{direction}" for name, direction in parts.items()),
        (*sort_keys, *BY_CREATION.sort_keys),
    )


@dataclass(frozen=True)
class Page(Generic[AnyResource]):
    """A page of a list; the token of an adjacent page is None if there is no such page."""

    items: list[AnyResource]
    previous_token: str | None
    next_token: str | None


def paginate(
    path: str,
    resources: Iterable[AnyResource],
    ordering: Ordering,
    token: str | None,
    size: int,
) -> Page[AnyResource]:
    """Return one page of a list.

    A token contains a position and a direction: the page either begins after this position or ends
    at this position. Therefore, a token stays valid if the resource at the position is deleted.

    Args:
        path: Path of the list.
        resources: All resources of the list.
        ordering: The sort order.
        token: The page token; None for the first page.
        size: Maximum number of resources on the page.

    Raises:
        BadRequest: The simulator did not create the token for this list and this sort order.
    """
    scope = json.dumps([path, ordering.text])
    ordered = ordering.sort(resources)
    start, end, cursor = 0, size, None
    if token is not None:
        position, is_backward = _parse_token(token, scope)
        boundary = bisect_left(
            ordered, True, key=lambda item: ordering.is_before(position, ordering.position(item))
        )
        cursor = position
        start, end = (
            (max(0, boundary - size), boundary) if is_backward else (boundary, boundary + size)
        )
    last = ordering.position(ordered[end - 1]) if 0 < end < len(ordered) else cursor
    preceding = ordering.position(ordered[start - 1]) if start else None
    return Page(
        items=ordered[start:end],
        previous_token=_token(scope, preceding, is_backward=True) if start else None,
        next_token=_token(scope, last, is_backward=False) if end < len(ordered) else None,
    )


def _token(scope: str, position: Position | None, *, is_backward: bool) -> str:
    """Return a token that is valid only for one list and one sort order.

    The token is authenticated, so a token from a client needs no further validation.
    """
    content = json.dumps([position, is_backward]).encode()
    digest = hmac.digest(_TOKEN_KEY, scope.encode() + content, "sha256")
    mac = base64.urlsafe_b64encode(digest)[:_MAC_LENGTH]
    return (mac + base64.urlsafe_b64encode(content).rstrip(b"=")).decode()


def _parse_token(token: str, scope: str) -> tuple[Position, bool]:
    """Return the position in a token, and whether the page ends with this position."""
    try:
        content = token[_MAC_LENGTH:].encode("ascii")
        padded = content + b"=" * (-len(content) % 4)
        position, is_backward = json.loads(base64.urlsafe_b64decode(padded))
        is_valid = hmac.compare_digest(token, _token(scope, position, is_backward=is_backward))
    except (ValueError, TypeError, RecursionError):
        is_valid = False
    if not is_valid:
        raise BadRequest("PageToken is not valid for this list and this Ordering")
    return position, is_backward
