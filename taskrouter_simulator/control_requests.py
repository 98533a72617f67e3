"""Reads the values in requests to the control routes."""

import json
from collections.abc import Collection
from typing import Any

from starlette.requests import Request

from taskrouter_simulator.control_base import ControlError
from taskrouter_simulator.spelling import describe_unknown


async def parse_values(request: Request, names: Collection[str] | None) -> dict[str, Any]:
    """Return a request's values: the body of a POST or PUT request, otherwise the query string.

    Args:
        request: The request.
        names: The names that the request may contain; None if all names are allowed.

    Raises:
        ControlError: A name is unknown or repeated, the body is not a JSON object, or the request
            has values in the wrong place.
    """
    pairs = request.query_params.multi_items()
    query, body = dict(pairs), await _json_object(request)
    has_body = request.method in {"POST", "PUT"}
    for name in [*query, *body]:
        if names is not None and name not in names:
            raise ControlError(f"unknown name {describe_unknown(name, names)}")
    if len(query) < len(pairs):
        raise ControlError("a name in the query string is repeated")
    if query if has_body else body:
        right, wrong = ("JSON body", "query string") if has_body else ("query string", "body")
        raise ControlError(f"the {wrong} must be empty; put the values in the {right}")
    return body if has_body else query


def _require_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dictionary; raise ControlError if a key is repeated."""
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise ControlError(f"the body repeats the name {repeated[:100]!r}")
    return value


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}", object_pairs_hook=_require_unique_keys)
    except ControlError:
        raise
    except (ValueError, RecursionError) as error:
        raise ControlError("the body is not JSON or is nested too deeply") from error
    if not isinstance(body, dict):
        raise ControlError("the body must be a JSON object")
    return body
