"""Fault injection for tests: errors, latency, dropped connections and duplicates."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from taskrouter_simulator.spelling import describe_unknown

_CALLBACK_FAULTS = ("latency", "cut", "duplicate")
_KINDS = {
    "request": ("latency", "error", "cut"),
    "assignment": _CALLBACK_FAULTS,
    "fallback": _CALLBACK_FAULTS,
    "event": _CALLBACK_FAULTS,
    "twiml": _CALLBACK_FAULTS,
    "status": _CALLBACK_FAULTS,
}
"""Allowed values of `Fault.kind` by value of `Fault.on`."""

_KINDS_BY_FIELD = {
    "seconds": ("latency",),
    "status": ("error", "cut"),
    "retry_after": ("error",),
}
"""Values of `Fault.kind` that use a field, by field. Other fields apply to every kind."""
_METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH")
_MOMENTS = ("before", "after")
_STATUSES = range(400, 600)
_MAX_NUMBER = 10**9


class FaultError(ValueError):
    """An invalid description of a fault; the message states the reason."""


@dataclass
class Fault:
    """A fault that affects the next matching requests.

    Attributes:
        id: Number of the fault.
        on: "request" for requests to the REST API and from the browser SDK, or the kind of
            callback: "assignment", "fallback", "event", "twiml", "status".
        kind: "latency" (delay by `seconds`), "error" (respond with `status` and `retry_after`),
            "cut" (drop the connection) or "duplicate" (send the callback twice).
        method: HTTP method; None matches all.
        path: Path of the URL; `*` matches any characters.
        moment: "before" or "after" the request takes effect.
        seconds: Latency in real seconds for a request, or in simulated seconds for a callback.
        status: HTTP status of an error, and the logged status of a request that is cut before it
            takes effect.
        retry_after: Retry-After header in seconds; None means the `retry_after` setting if
            `status` is 429, and otherwise no header.
        times: Number of further requests to affect; None means all.
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


@dataclass
class FaultsState:
    """The pending faults, oldest first, and the number of faults added so far."""

    pending: list[Fault] = field(default_factory=list)
    created: int = 0


class Faults:
    """The pending faults, oldest first."""

    def __init__(self) -> None:
        self.state = FaultsState()

    def add(self, description: Mapping[str, Any]) -> Fault:
        """Add a fault; earlier faults take precedence.

        Args:
            description: Fields of `Fault` except `id`; `on` and `kind` are required.

        Raises:
            FaultError: The description is invalid.
        """
        names = [name for name in Fault.__dataclass_fields__ if name != "id"]
        for name in description:
            if name not in names:
                raise FaultError(f"unknown field {describe_unknown(name, names)}")
        _validate(description)
        _require_effect(description)
        self.state.created += 1
        fault = Fault(id=self.state.created, **description)
        self.state.pending.append(fault)
        return fault

    def take(self, on: str, method: str, path: str) -> Fault | None:
        """Return the first fault that matches a request, and decrement the fault's `times`."""
        for fault in self.state.pending:
            if fault.on == on and fault.method in {None, method} and fnmatchcase(path, fault.path):
                if fault.times is not None:
                    fault.times -= 1
                    if not fault.times:
                        self.state.pending.remove(fault)
                return fault
        return None

    def pending(self) -> list[dict[str, Any]]:
        """Return the pending faults as JSON objects."""
        return [asdict(fault) for fault in self.state.pending]

    def clear(self) -> None:
        """Remove all faults; numbering restarts."""
        self.state = FaultsState()


def _validate(description: Mapping[str, Any]) -> None:
    on = description.get("on")
    if on not in tuple(_KINDS):
        raise FaultError(f"`on` must be one of {', '.join(_KINDS)}")
    if description.get("kind") not in _KINDS[on]:
        raise FaultError(f"`kind` must be one of {', '.join(_KINDS[on])}")
    if description.get("moment", "before") not in _MOMENTS:
        raise FaultError('`moment` must be "before" or "after"')
    if not isinstance(description.get("path", "*"), str):
        raise FaultError("`path` must be a string")
    if not isinstance(description.get("method"), str | None):
        raise FaultError("`method` must be a string")
    if not _is_valid_number(description.get("seconds", 0)):
        raise FaultError(f"`seconds` must be a number between 0 and {_MAX_NUMBER:,}")
    status = description.get("status", 500)
    if not isinstance(status, int) or status not in _STATUSES:
        raise FaultError("`status` must be a whole number between 400 and 599")
    for name, minimum in (("retry_after", 0), ("times", 1)):
        value = description.get(name)
        is_valid = _is_valid_number(value) and isinstance(value, int) and value >= minimum
        if value is not None and not is_valid:
            raise FaultError(
                f"`{name}` must be a whole number between {minimum} and {_MAX_NUMBER:,}"
            )


def _require_effect(description: Mapping[str, Any]) -> None:
    """Check that a valid fault can match a request, and that its fields apply to its kind."""
    on, kind = description["on"], description["kind"]
    methods = {"request": _METHODS, "status": ("GET", "POST")}.get(on, ("POST",))
    if description.get("method") not in {None, *methods}:
        raise FaultError(f"`method` must be one of {', '.join(methods)} if `on` is `{on}`")
    if not description.get("path", "*").startswith(("/", "*", "?", "[")):
        raise FaultError("`path` must begin with / or a wildcard (*, ? or [)")
    for name, kinds in _KINDS_BY_FIELD.items():
        if name in description and kind not in kinds:
            allowed = " or ".join(f"`{item}`" for item in kinds)
            raise FaultError(f"`{name}` applies only if `kind` is {allowed}")
    if kind == "latency" and not description.get("seconds"):
        raise FaultError("`seconds` must be greater than 0 if `kind` is `latency`")
    if description.get("moment") == "after" and on != "request" and kind != "cut":
        raise FaultError(f"`moment` must be `before` if `on` is `{on}` and `kind` is `{kind}`")


def _is_valid_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 <= value <= _MAX_NUMBER
