"""Compares the CPU time of refused requests with the CPU time of a valid callback."""

import logging
import os
import time
from pathlib import Path
from statistics import median

from chalice.test import Client

from app import app
from benchmarks.inputs import BODY, ENVIRON, HEADERS, PATH, InstantDynamoDb
from benchmarks.report import Figure
from chalicelib import config, observability, runtime
from chalicelib.runtime import SystemClock

_SIGNATURE = {"X-Twilio-Signature": "A" * 28}
_QUERY = "?a%20b=1+2&b=%C3%A9&c&d=/"
_TYPICAL = BODY.encode()
_LARGE = "&".join(f"p{n}={'%41' * 300}" for n in range(140)).encode()

# Name, query string, headers and body of each refused request.
_REFUSED: tuple[tuple[str, str, dict[str, str], bytes], ...] = (
    ("no signature", "", {}, _TYPICAL),
    ("forged", "", _SIGNATURE, _TYPICAL),
    ("forged, 4 query parameters", _QUERY, _SIGNATURE, _TYPICAL),
    ("forged, 124 KiB", "", _SIGNATURE, _LARGE),
    ("forged, 124 KiB, 4 query parameters", _QUERY, _SIGNATURE, _LARGE),
    ('124 KiB of "%"', "", _SIGNATURE, b"a=" + b"%" * 126_974),
    ("4.5 MB", "", _SIGNATURE, b"a" * 4_500_000),
)


def measure(rounds: int) -> list[Figure]:
    """Interleave valid callbacks with each kind of refused request, and compare their CPU times.

    Args:
        rounds: number of requests of each kind.
    """
    valid = ("valid", "", {"X-Twilio-Signature": HEADERS["X-Twilio-Signature"]}, _TYPICAL)
    cpu_ms: dict[str, list[float]] = {name: [] for name, *_ in (valid, *_REFUSED)}
    runtime.use(runtime.Runtime(config.load({**ENVIRON}), InstantDynamoDb(), SystemClock()))
    with Path(os.devnull).open("w", encoding="utf-8") as null, Client(app) as client:
        observability.configure("INFO")
        logging.getLogger("taskrouter-callbacks").handlers[0].setStream(null)  # type: ignore[attr-defined]
        for _ in range(1 + rounds):
            for name, query, signature, body in (valid, *_REFUSED):
                headers = {"Content-Type": HEADERS["Content-Type"], **signature}
                started = time.process_time()
                response = client.http.post(PATH + query, headers=headers, body=body)
                cpu_ms[name].append((time.process_time() - started) * 1000)
                if response.status_code not in ((200,) if name == "valid" else (400, 403, 413)):
                    raise RuntimeError(f"{name}: the app returned {response.status_code}")
    runtime.use(None)
    medians_ms = {name: median(times[1:]) for name, times in cpu_ms.items()}
    valid_ms = medians_ms.pop("valid")
    return [
        Figure(
            name=f"refused request: CPU time, {name}",
            value=value,
            other="valid callback",
            other_value=valid_ms,
            unit="ms",
        )
        for name, value in medians_ms.items()
    ]
