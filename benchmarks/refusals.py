"""Measures how much CPU time the app needs to refuse requests that Twilio did not send."""

import logging
import os
import time
from pathlib import Path
from statistics import median
from urllib.parse import urlencode

import click
from chalice.test import Client

from app import app
from benchmarks.measurements import CALLBACK, ENVIRON, PATH, InstantDynamoDb
from chalicelib import config, observability, runtime
from chalicelib.runtime import SystemClock

REFUSAL_LIMIT_MS = 100
"""Maximum CPU time per refused request.

Lambda accepts 10 requests per second for each unit of concurrency, so a request that takes less
time frees no capacity.
https://docs.aws.amazon.com/lambda/latest/dg/lambda-concurrency.html
"""

_SIGNATURE = {"X-Twilio-Signature": "A" * 28}
_QUERY = "?a%20b=1+2&b=%C3%A9&c&d=/"
_TYPICAL = urlencode(CALLBACK).encode()
_LARGE = "&".join(f"p{n}={'%41' * 300}" for n in range(140)).encode()

# Name, query string, headers and body of each request.
_REQUESTS: tuple[tuple[str, str, dict[str, str], bytes], ...] = (
    ("no header", "", {}, _TYPICAL),
    ("forged", "", _SIGNATURE, _TYPICAL),
    ("forged, 4 query parameters", _QUERY, _SIGNATURE, _TYPICAL),
    ("forged, 124 KiB", "", _SIGNATURE, _LARGE),
    ("forged, 124 KiB, 4 query parameters", _QUERY, _SIGNATURE, _LARGE),
    ("4.5 MB", "", _SIGNATURE, b"a" * 4_500_000),
)


def measure_refusals(samples: int) -> bool:
    """Time refused requests and print the results.

    Args:
        samples: number of requests of each kind.

    Returns:
        Whether every median is below the limit.
    """
    runtime.use(runtime.Runtime(config.load({**ENVIRON}), InstantDynamoDb(), SystemClock()))
    medians_ms = {}
    with Path(os.devnull).open("w") as null, Client(app) as client:
        observability.configure("INFO")
        logging.getLogger("taskrouter-callbacks").handlers[0].setStream(null)  # type: ignore[attr-defined]
        for name, query, signature, body in _REQUESTS:
            headers = {"Content-Type": "application/x-www-form-urlencoded", **signature}
            times_ms = []
            for _ in range(samples):
                started = time.process_time()
                response = client.http.post(PATH + query, headers=headers, body=body)
                times_ms.append((time.process_time() - started) * 1000)
                if response.status_code not in (403, 413):
                    raise RuntimeError(f"{name}: the app returned {response.status_code}")
            medians_ms[name] = median(times_ms)
    runtime.use(None)
    click.echo(f"CPU time to refuse a request, {samples} samples each:")
    for name, duration in medians_ms.items():
        click.echo(f"  {name:36} p50 {duration:6.2f} ms (limit {REFUSAL_LIMIT_MS} ms)")
    return max(medians_ms.values()) < REFUSAL_LIMIT_MS
