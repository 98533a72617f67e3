"""Snapshots of the simulator's complete state, as JSON.

Except for the settings, a snapshot contains everything that determines what the simulator does
next. It does not contain the log entries. See
docs/adr/0043-restore-only-unmodified-snapshots.md.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple, get_type_hints

from taskrouter_simulator.callbacks.dispatcher import Dispatcher, UnfinishedCallbacks
from taskrouter_simulator.clock import Clock, ClockState
from taskrouter_simulator.engine.core import NOT_STORED, Engine
from taskrouter_simulator.faults import FaultsState
from taskrouter_simulator.object_graph import Reader, Writer
from taskrouter_simulator.web import SnapshotError

VERSION = 1
"""Version of the snapshot format; snapshots with any other version cannot be restored."""


class TimerKey(NamedTuple):
    """Identifies a timer that belongs to a resource."""

    kind: str
    sid: str


@dataclass(frozen=True)
class StoredTimer:
    """A timer in a snapshot.

    Attributes:
        when: Due time in seconds since the epoch.
        key: The timer's kind and the resource's SID, if the timer belongs to a resource.
        action: Function that runs when the timer is due.
    """

    when: float
    key: TimerKey | None
    action: Callable[[], None]


@dataclass(frozen=True)
class State:
    """The simulator's state, except for the engine's state.

    Attributes:
        workspace_sid: SID of the loaded Workspace (WS…).
        workflow_sid: SID of the first loaded Workflow (WW…); "" if there is none.
        clock: The time.
        timers: The timers in the order in which they run.
        callbacks: The callbacks that are in progress or waiting.
        faults: The pending faults.
        log_position: Number of log entries so far.
    """

    workspace_sid: str
    workflow_sid: str
    clock: ClockState
    timers: list[StoredTimer]
    callbacks: UnfinishedCallbacks
    faults: FaultsState
    log_position: int


def read_timers(engine: Engine) -> list[StoredTimer]:
    """Return the timers of the engine and its callbacks, in the order in which they run."""
    keys = {id(timer): TimerKey(*key) for key, timer in engine.timers.items()}
    return [
        StoredTimer(timer.when, keys.get(id(timer)), timer.action)
        for timer in engine.clock.pending()
    ]


def start_timers(engine: Engine, clock: Clock, timers: list[StoredTimer]) -> None:
    """Start the timers of a restored engine."""
    for stored in timers:
        timer = clock.call_at(stored.when, stored.action)
        if stored.key:
            engine.timers[stored.key] = timer


def write(engine: Engine, dispatcher: Dispatcher, state: State) -> dict[str, Any]:
    """Return the state as JSON."""
    writer = Writer({"engine": engine, "dispatcher": dispatcher})
    content = {
        "version": VERSION,
        "engine": {
            name: writer.write(getattr(engine, name), hint)
            for name, hint in _stored_fields().items()
        },
        "state": writer.write(state, State),
        "objects": writer.objects,
    }
    return {**content, "checksum": _checksum(content)}


def read(snapshot: Mapping[str, Any], engine: Engine, dispatcher: Dispatcher) -> State:
    """Read the state in a snapshot.

    Args:
        snapshot: A result of `write`, which may have passed through another JSON library.
        engine: A new engine, which receives the stored fields.
        dispatcher: The dispatcher that the snapshot's callbacks refer to.

    Raises:
        SnapshotError: The snapshot was modified, or was written by a different version of the
            simulator.
    """
    content = {name: value for name, value in snapshot.items() if name != "checksum"}
    try:
        is_unmodified = snapshot.get("checksum") == _checksum(content)
    except RecursionError:
        is_unmodified = False
    if not is_unmodified:
        raise SnapshotError("the body is not a valid snapshot; its checksum is wrong")
    if content.get("version") != VERSION:
        raise SnapshotError(f"the version of the snapshot must be {VERSION}")
    try:
        reader = Reader(content["objects"], {"engine": engine, "dispatcher": dispatcher})
        for name, hint in _stored_fields().items():
            if name in content["engine"]:
                setattr(engine, name, reader.read(content["engine"][name], hint))
        state: State = reader.read(content["state"], State)
    except (LookupError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise SnapshotError(
            f"the snapshot is from a different version of the simulator: {error}"
        ) from error
    return state


def _stored_fields() -> dict[str, Any]:
    """Return the annotations of the engine's stored fields, by name."""
    hints = get_type_hints(Engine)
    names = [field.name for field in fields(Engine) if field.name not in NOT_STORED]
    return {name: hints[name] for name in names}


def canonical_json(value: Any) -> str:
    """Return JSON that is the same for equal values, however the values were written."""
    return json.dumps(_normalize(value), sort_keys=True)


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(content).encode()).hexdigest()


def _normalize(value: Any) -> Any:
    """Replace whole floats with integers, as the JSON libraries of other languages do."""
    if isinstance(value, Mapping):
        return {key: _normalize(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_normalize(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
