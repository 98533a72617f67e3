"""Records callbacks in a JSON Lines file, and reads such files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskrouter_simulator.identifiers import is_url


class RecordingError(ValueError):
    """A recording cannot be read; the message states the reason."""


class Recorder:
    """Adds callbacks to the log and to a file.

    Args:
        path: File to which each callback is appended as one line of JSON.
        record: Adds an entry to the log.

    Raises:
        OSError: The file cannot be opened.
    """

    def __init__(self, path: Path, record: Callable[..., None]) -> None:
        self._file = path.open("a", encoding="ascii", buffering=1)  # flush each line
        self._record = record

    def record(self, kind: str, **fields: Any) -> None:
        """Record a callback; `fields` are the fields of a log entry, with the complete `answer`."""
        self._file.write(json.dumps({"kind": kind, **fields}) + "\n")
        self._record(kind, **fields)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> list[dict[str, Any]]:
    """Return a recording's callbacks that have a response, oldest first.

    Args:
        path: A recording, or a file with one exported log entry per line.

    Raises:
        RecordingError: The file cannot be read, contains an invalid line, or contains no callback
            that has a response.
    """
    try:
        with path.open(encoding="utf-8") as file:
            lines = list(file)  # `str.splitlines` also splits at U+2028, which JSON allows
    except (OSError, ValueError) as error:
        raise RecordingError(f"cannot read {path}: {error}") from error
    entries = [_parse(line, number, path) for number, line in enumerate(lines, 1)]
    answered = [entry for entry in entries if "attempt" in entry and entry["status"] is not None]
    if not answered:
        raise RecordingError(f"{path} contains no callback with a response")
    return answered


def _parse(line: str, number: int, path: Path) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict):
        raise RecordingError(f"line {number} of {path} is not a JSON object")
    if "attempt" in entry and not _is_callback(entry):
        raise RecordingError(f"line {number} of {path} is not a valid callback")
    return entry


def _is_callback(entry: dict[str, Any]) -> bool:
    types = {"kind": str, "method": str, "url": str, "answer": str, "status": int | None}
    return (
        all(isinstance(entry.get(name, ...), kind) for name, kind in types.items())
        and entry["method"] in {"GET", "POST"}
        and is_url(entry["url"])
        and all(_maps_to_strings(entry.get(name)) for name in ("parameters", "headers"))
    )


def _maps_to_strings(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
