"""Compares the CPU time of refused requests with the CPU time of a valid callback.

The app runs as it does on Lambda, so the CPU time includes parsing the event, which can be large.
pyperf is not used, because it measures the elapsed time of a function. This module measures the
CPU time of a separate process, to which it sends one request of each kind in turn.
"""

import json
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from statistics import median

from benchmarks import inputs, stubs
from benchmarks.inputs import BODY
from benchmarks.programs import Program
from benchmarks.report import Figure

_VALID_CALLBACK = "valid callback"
_FORGED_SIGNATURE = {"X-Twilio-Signature": "A" * 28}
_QUERY = {"a b": ["1 2"], "b": ["é"], "c": [""], "d": ["/"]}
_LARGE_BODY = "&".join(f"p{n}={'%41' * 300}" for n in range(140))

# Signature header, body and query string of each refused request.
_REFUSED_REQUESTS: dict[str, tuple[dict[str, str], str, dict[str, list[str]] | None]] = {
    "no signature": ({}, BODY, None),
    "forged": (_FORGED_SIGNATURE, BODY, None),
    "forged, 4 query parameters": (_FORGED_SIGNATURE, BODY, _QUERY),
    "forged, 124 KiB": (_FORGED_SIGNATURE, _LARGE_BODY, None),
    "forged, 124 KiB, 4 query parameters": (_FORGED_SIGNATURE, _LARGE_BODY, _QUERY),
    '124 KiB of "%"': (_FORGED_SIGNATURE, "a=" + "%" * 126_974, None),
    "4.5 MB": (_FORGED_SIGNATURE, "a" * 4_500_000, None),
}
_REFUSAL_STATUSES = {
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
}

WARM_UP = 2
"""Number of initial requests of each kind that are not measured."""


def measure(runtime_folder: Path, app: Program, rounds: int) -> list[Figure]:
    """Send a valid callback and each kind of refused request in turn, and compare CPU times.

    Args:
        runtime_folder: the folder with the packages that Lambda's runtime provides.
        app: the packaged app (`programs.build_app`).
        rounds: number of requests of each kind.
    """
    medians_ms = _measure_ms(runtime_folder, app, rounds)
    valid_ms = medians_ms.pop(_VALID_CALLBACK)
    return [
        Figure(
            name=f"refused request: CPU time, {name}",
            value=value,
            other=_VALID_CALLBACK,
            other_value=valid_ms,
            unit="ms",
        )
        for name, value in medians_ms.items()
    ]


def _measure_ms(runtime_folder: Path, app: Program, rounds: int) -> dict[str, float]:
    """Return the median CPU time (ms) of each kind of request, by name."""
    events = {name: inputs.form_event(*request) for name, request in _REFUSED_REQUESTS.items()}
    events = {_VALID_CALLBACK: inputs.callback_event(), **events}
    cpu_ms: dict[str, list[float]] = {name: [] for name in events}
    with (
        stubs.dynamodb(inputs.SECRETS) as url,
        stubs.function(app, runtime_folder, {"AWS_ENDPOINT_URL": url}) as function,
    ):
        function.await_request()
        for _ in range(WARM_UP + rounds):
            for name, event in events.items():
                cpu_ms[name].append(function.invoke(event).cpu * 1000)
                _check(name, json.loads(function.response))
    return {name: median(times[WARM_UP:]) for name, times in cpu_ms.items()}


def _check(name: str, response: Mapping[str, int]) -> None:
    expected = {HTTPStatus.OK} if name == _VALID_CALLBACK else _REFUSAL_STATUSES
    if response["statusCode"] not in expected:
        raise RuntimeError(f"{name}: the app returned {response['statusCode']}.")
