"""Function calls that are stored until a timer fires, a phone is answered or the app responds.

Snapshots contain these calls and refer to each function by name, so lambdas are not supported.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

Continuation = partial[None]
"""A deferred call to a function that is registered with `continuation`."""

FUNCTIONS: dict[str, Callable[..., None]] = {}
"""The registered functions by name, such as "reservations.time_out"."""

_Function = TypeVar("_Function", bound=Callable[..., None])


def continuation(function: _Function) -> _Function:
    """Register a function or method, so that snapshots can contain calls to it."""
    FUNCTIONS[function_name(function)] = function
    return function


def function_name(function: Callable[..., Any]) -> str:
    """Return a function's qualified name, prefixed with the last part of its module's name."""
    return f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
