"""Faults on demand: what a network and a busy service do, done when a test says so."""

import itertools
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from typing import Any

ON = ("request", "assignment", "fallback", "event", "twiml")
_KINDS = {
    "request": ("latency", "error", "cut"),
    "assignment": ("latency", "cut", "duplicate"),
    "fallback": ("latency", "cut", "duplicate"),
    "event": ("latency", "cut", "duplicate"),
    "twiml": ("latency", "cut", "duplicate"),
}
_MOMENTS = ("before", "after")
_STATUSES = range(400, 600)
_MOST = 10**9


class FaultError(ValueError):
    """A description that is no fault; the message says what is wrong."""


@dataclass
class Fault:
    """Something that goes wrong with the next calls that match.

    Attributes:
        id: its number.
        on: "request" for REST, or the kind of callback: "assignment", "fallback", "event",
            "twiml".
        kind: "latency" (the call comes `seconds` late: real seconds on a request, the
            simulator's on a callback), "error" (`status` is answered, with Retry-After if
            `retry_after` is given), "cut" (the connection breaks), "duplicate" (sent twice).
        method: which method; None for all.
        path: which paths; `*` stands for anything.
        moment: "before" the call took effect, or "after" it.
        seconds: of latency.
        status: of an error.
        retry_after: seconds in the Retry-After header.
        times: how many calls it is good for; None for all.
    """

    id: int
    on: str
    kind: str
    method: str | None = None
    path: str = "*"
    moment: str = "before"
    seconds: float = 0.0
    status: int = 500
    retry_after: int | None = None
    times: int | None = 1


class Faults:
    """The faults that wait for their call."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ids = itertools.count(1)

    def add(self, description: Mapping[str, Any]) -> Fault:
        """Add a fault, behind those that are there.

        Args:
            description: fields of `Fault` but `id`; `on` and `kind` are required.

        Raises:
            FaultError: it is no fault.
        """
        unknown = set(description) - (set(Fault.__dataclass_fields__) - {"id"})
        if unknown:
            raise FaultError(f"a fault has no {', '.join(sorted(unknown))}")
        _require(description)
        fault = Fault(id=next(self._ids), **description)
        if fault.times != 0:
            self._faults.append(fault)
        return fault

    def take(self, on: str, method: str, path: str) -> Fault | None:
        """The first fault for such a call, used up by one, or None."""
        for fault in self._faults:
            if fault.on == on and fault.method in {None, method} and fnmatchcase(path, fault.path):
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self._faults.remove(fault)
                return fault
        return None

    def waiting(self) -> list[dict[str, Any]]:
        """The faults that are not used up."""
        return [asdict(fault) for fault in self._faults]

    def clear(self) -> None:
        """Drop them all."""
        self._faults.clear()


def _require(description: Mapping[str, Any]) -> None:
    on = description.get("on")
    if on not in ON:
        raise FaultError(f"on must be one of {', '.join(ON)}")
    if description.get("kind") not in _KINDS[on]:
        raise FaultError(f"kind must be one of {', '.join(_KINDS[on])}")
    if description.get("moment", "before") not in _MOMENTS:
        raise FaultError("moment must be before or after")
    if not isinstance(description.get("path", "*"), str):
        raise FaultError("path must be a string")
    if not isinstance(description.get("method"), str | None):
        raise FaultError("method must be a string")
    if not _is_number(description.get("seconds", 0)):
        raise FaultError("seconds must be a number, 0 or more")
    status = description.get("status", 500)
    if not isinstance(status, int) or status not in _STATUSES:
        raise FaultError("status must be 400 to 599")
    for name in ("retry_after", "times"):
        value = description.get(name)
        if value is not None and (not _is_number(value) or not isinstance(value, int)):
            raise FaultError(f"{name} must be a whole number, 0 or more")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST
