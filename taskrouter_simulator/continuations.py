"""Function calls that are stored until a timer fires, a phone is answered or an app responds.

A snapshot contains these calls, so it must be able to name the function. A lambda has no name.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

Continuation = partial[None]
"""A call of a function that is registered with `continuation`."""

FUNCTIONS: dict[str, Callable[..., None]] = {}
"""The registered functions by name, such as "reservations.time_out"."""

_Function = TypeVar("_Function", bound=Callable[..., None])


def continuation(function: _Function) -> _Function:
    """Register a function or method, so that snapshots can contain calls of it."""
    FUNCTIONS[function_name(function)] = function
    return function


def function_name(function: Callable[..., Any]) -> str:
    """Return the name of a registered function: its module's last name and its own name."""
    return f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
