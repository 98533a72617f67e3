"""Sort orders of lists, and pages whose tokens stay valid when resources are deleted."""

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Resource

AnyResource = TypeVar("AnyResource", bound=Resource)
SortKey = Callable[[Any], Any]
"""Returns the value by which a resource is sorted: a number or a text."""
Position = list[Any]
"""The sort keys of a resource, which may have been deleted."""

_DIRECTIONS = {"asc", "desc"}


@dataclass(frozen=True)
class Ordering:
    """The sort order of a list.

    Attributes:
        text: The order as text. A page token is valid only for the order that it was created for.
        directions: Functions that return the sort keys, and whether each key is descending. No two
            resources have the same keys.
    """

    text: str
    directions: tuple[tuple[SortKey, bool], ...]

    def sort(self, resources: Iterable[AnyResource]) -> list[AnyResource]:
        """Return the resources in this order."""
        ordered = list(resources)
        for key, descending in reversed(self.directions):
            ordered.sort(key=key, reverse=descending)
        return ordered

    def position(self, resource: Resource) -> Position:
        """Return the position of a resource."""
        return [key(resource) for key, _ in self.directions]

    def is_before(self, position: Position, other: Position) -> bool:
        """Return whether a position precedes another position."""
        for first, second, (_, descending) in zip(position, other, self.directions, strict=True):
            if first != second:
                return bool(second < first if descending else first < second)
        return False


BY_CREATION = Ordering("", ((lambda resource: resource.sequence, False),))


def parse_ordering(text: str | None, keys: Mapping[str, SortKey]) -> Ordering:
    """Parse a sort order such as `Priority:desc,DateCreated:asc`.

    Resources that are equal in this order are sorted by creation.

    Args:
        text: Comma-separated attributes and directions; None for the order of creation.
        keys: The functions that return the value of each attribute.

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
    directions = [(keys[name], direction == "desc") for name, direction in parts.items()]
    return Ordering(
        ",".join(f"{name}:{direction}" for name, direction in parts.items()),
        (*directions, *BY_CREATION.directions),
    )


@dataclass(frozen=True)
class Page(Generic[AnyResource]):
    """One page of a list, with the tokens of its neighbors; None if there is no such page."""

    items: list[AnyResource]
    previous_token: str | None
    next_token: str | None


def paginate(
    resources: Iterable[AnyResource], ordering: Ordering, token: str | None, size: int
) -> Page[AnyResource]:
    """Return one page of a list.

    A token contains a position. The next page begins after this position, and the previous page
    ends with it. Therefore, a token stays valid if the resource at its position is deleted.

    Args:
        resources: All resources of the list.
        ordering: The sort order.
        token: The page token; None for the first page.
        size: Maximum number of resources in the page.

    Raises:
        BadRequest: The token is invalid.
    """
    ordered = ordering.sort(resources)
    positions = [ordering.position(resource) for resource in ordered]
    start, end, cursor = 0, size, None
    if token:
        cursor, is_backward = _parse_token(token, ordering)
        try:
            border = sum(not ordering.is_before(cursor, position) for position in positions)
        except (TypeError, ValueError) as error:
            raise BadRequest("PageToken is not valid") from error
        start, end = (max(0, border - size), border) if is_backward else (border, border + size)
    last = positions[end - 1] if 0 < end < len(positions) else cursor
    return Page(
        items=ordered[start:end],
        previous_token=_token(ordering, positions[start - 1], is_backward=True) if start else None,
        next_token=_token(ordering, last, is_backward=False) if end < len(positions) else None,
    )


def _token(ordering: Ordering, position: Position | None, *, is_backward: bool) -> str:
    content = json.dumps([ordering.text, position, is_backward])
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def _parse_token(token: str, ordering: Ordering) -> tuple[Position, bool]:
    """Return the position in a token, and whether the page ends with this position."""
    try:
        padded = token.encode("ascii") + b"=" * (-len(token) % 4)
        text, position, is_backward = json.loads(base64.urlsafe_b64decode(padded))
    except (ValueError, TypeError, RecursionError) as error:
        raise BadRequest("PageToken is not valid") from error
    if not isinstance(position, list) or not isinstance(is_backward, bool):
        raise BadRequest("PageToken is not valid")
    if text != ordering.text:
        raise BadRequest("PageToken belongs to a list with another Ordering")
    return position, is_backward
