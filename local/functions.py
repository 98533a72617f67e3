"""Runs the Lambda functions locally: the API over HTTP, the sweep on a timer."""

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from chalicelib.domain.errors import SweepFailed

LAMBDA_TIMEOUT_SECONDS = 60


def serve_api(port: int, stage: str) -> None:
    """Run `chalice local` until a signal ends the process.

    Changed code is not reloaded.

    Args:
        port: Port on 127.0.0.1.
        stage: Stage in .chalice/config.json.
    """
    # Only this command needs Chalice's command line, which is slow to import.
    from chalice.cli import main  # noqa: PLC0415

    sys.argv = ["chalice", "local", "--stage", stage, "--no-autoreload", "--port", str(port)]
    sys.exit(main())


@dataclass
class LambdaContext:
    """The parts of a Lambda context that the sweep uses."""

    function_name: str = "sweep"
    aws_request_id: str = "local"
    _started: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """Return the time left before the Lambda timeout, in ms."""
        left = LAMBDA_TIMEOUT_SECONDS - (time.monotonic() - self._started)
        return max(0, round(left * 1000))


def scheduled_event() -> dict[str, Any]:
    """Build the event that EventBridge sends for a schedule."""
    return {
        "version": "0",
        "id": "local",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "region": "us-east-1",
        "resources": [],
        "detail": {},
    }


def sweep_periodically(
    sweep: Callable[[dict[str, Any], LambdaContext], Any],
    interval: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait and sweep in an endless loop; print errors instead of raising them.

    Args:
        sweep: The Lambda handler.
        interval: Seconds between the end of a sweep and the start of the next.
        sleep: Waits for a given number of seconds.
    """
    while True:
        sleep(interval)
        try:
            sweep(scheduled_event(), LambdaContext())
        except SweepFailed as error:
            print(error, flush=True)
        except Exception as error:  # noqa: BLE001  # the next sweep may succeed
            print(f"The sweep failed: {type(error).__name__}: {error}", flush=True)
