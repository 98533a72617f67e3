"""The sweep on a timer, as EventBridge would do it in the cloud."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

LAMBDA_TIMEOUT_SECONDS = 60


@dataclass
class Context:
    """What the sweep uses of a Lambda context."""

    function_name: str = "sweep"
    aws_request_id: str = "local"
    _started: float = field(default_factory=time.monotonic)

    def get_remaining_time_in_millis(self) -> int:
        """How long the sweep may still take."""
        left = LAMBDA_TIMEOUT_SECONDS - (time.monotonic() - self._started)
        return max(0, round(left * 1000))


def scheduled_event() -> dict[str, Any]:
    """The event that EventBridge sends for a schedule."""
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


def sweep_for_ever(
    sweep: Callable[[dict[str, Any], Context], Any],
    every: float,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Wait, sweep, and so on; a sweep that fails is told, and the next one comes all the same.

    Args:
        sweep: The Lambda function.
        every: Seconds between the end of one and the start of the next.
        sleep: Waits that many seconds.
    """
    while True:
        sleep(every)
        try:
            sweep(scheduled_event(), Context())
        except Exception as error:  # noqa: BLE001  # whatever it is, the next sweep may work
            print(f"The sweep failed: {type(error).__name__}: {error}", flush=True)
