"""Sends recorded callbacks to an app, and compares the responses with the recorded responses."""

import argparse
import asyncio
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from taskrouter_simulator import recording
from taskrouter_simulator.callbacks.answers import Response
from taskrouter_simulator.callbacks.delivery import Delivery, DeliveryClient
from taskrouter_simulator.identifiers import Credentials, is_url
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.snapshots import canonical_json

_TIMEOUT_SECONDS = 15.0
_MAX_SHOWN_LENGTH = 200


def main(arguments: list[str], settings: Settings) -> int:
    """Replay a file.

    Args:
        arguments: The arguments of the `replay` command.
        settings: Settings that determine how callbacks are signed.

    Returns:
        0 if all responses equal the recorded responses, 1 if a response differs, 2 if the recording
        cannot be read.
    """
    parser = argparse.ArgumentParser(prog="taskrouter-simulator replay", description=__doc__)
    parser.add_argument("file", type=Path, help="a file that was recorded with --record-file")
    parser.add_argument("--to", required=True, type=_base_url, help="base URL of the app")
    options = parser.parse_args(arguments)
    try:
        entries = recording.read(options.file)
    except recording.RecordingError as error:
        print(f"replay: {error}", file=sys.stderr)  # noqa: T201 - program output
        return 2
    difference_count = asyncio.run(_replay(entries, options.to, settings))
    totals = f"{_count(len(entries), 'callback')}, {_count(difference_count, 'different response')}"
    print(totals)  # noqa: T201 - program output
    return 1 if difference_count else 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _base_url(text: str) -> str:
    if not is_url(text):
        raise argparse.ArgumentTypeError("must be an absolute URL")
    return text.rstrip("/")


async def _replay(entries: Iterable[Mapping[str, Any]], to: str, settings: Settings) -> int:
    """Send the callbacks in order; return the number of responses that differ."""
    client = DeliveryClient(Credentials(), settings, lambda *_arguments, **_fields: None)
    difference_count = 0
    for number, entry in enumerate(entries, 1):
        parts = urlsplit(entry["url"])
        path = parts.path + (f"?{parts.query}" if parts.query else "")
        delivery = Delivery(
            entry["kind"],
            to + path,
            entry["parameters"],
            _TIMEOUT_SECONDS,
            token=entry["headers"].get("I-Twilio-Idempotency-Token", ""),
            method=entry["method"],
            single_attempt=True,
        )
        differences = describe_differences(entry, await client.deliver(delivery))
        difference_count += bool(differences)
        result = ", ".join(differences) or "same response"
        print(f"{number} {entry['kind']} {path}: {result}")  # noqa: T201 - program output
    return difference_count


def describe_differences(entry: Mapping[str, Any], response: Response) -> list[str]:
    """Return a description of each difference between a recorded and a new response.

    JSON documents are compared by value. If the entry contains only the beginning of the body, only
    the beginning and the length of the body are compared.
    """
    if response.error:
        return [response.error]
    body = response.body.decode("utf-8", errors="replace")
    is_truncated = "answer_length" in entry
    values = [
        ("status", entry["status"], response.status),
        ("content type", entry.get("content_type"), response.content_type),
    ]
    if is_truncated:
        values.append(("length", entry["answer_length"], len(body)))
        body = body[: len(entry["answer"])]
    pairs = [(name, json.dumps(old), json.dumps(new)) for name, old, new in values]
    pairs.append(("body", _canonical(entry["answer"]), _canonical(body)))
    return [
        f"{name} {old[:_MAX_SHOWN_LENGTH]} became {new[:_MAX_SHOWN_LENGTH]}"
        for name, old, new in pairs
        if old != new
    ]


def _canonical(body: str) -> str:
    """Return the same text for equal JSON documents; `true` and `1` are not equal."""
    try:
        return canonical_json(json.loads(body))
    except (ValueError, RecursionError):
        return f"text {json.dumps(body)}"
