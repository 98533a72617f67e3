"""Time goes on, and everything comes right."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chalicelib.adapters.clock import SystemClock
from chalicelib.domain.errors import SweepFailed
from chalicelib.runtime import Runtime
from chalicelib.usecases.sweep import sweep
from chaos.floor import Heard
from chaos.stage import Stage
from chaos.truth import Truth, read_records
from chaos.verdict import differences, left_to_the_backstop
from local import dynamodb

PATIENCE_SECONDS = 60
"""A lease, a sweep and the first look again after 15 s, on a machine that may be busy."""

_AHEAD_MS = 7 * 3_600_000
"""Over the longest that the sweep lets an open Reservation be."""

_SWEEPS = 3


class _Ahead(SystemClock):
    def now_ms(self) -> int:
        return super().now_ms() + _AHEAD_MS


@dataclass
class Settled:
    """What came of it.

    Attributes:
        differ: sentences; none is what everybody hopes for.
        backstop: how many records only the sweep's late look at assigned ones has put right.
        seconds: how long the rest took.
    """

    differ: list[str] = field(default_factory=list)
    backstop: int = 0
    seconds: float = 0.0


class Settling:
    """Waits for our table to say what the truth is.

    Args:
        stage: whose; nothing may go wrong any more.
        truth: which does not change any more.
        heard: what was said.
    """

    def __init__(self, stage: Stage, truth: Truth, heard: Heard) -> None:
        described = stage.described
        self._stage, self._truth, self._heard = stage, truth, heard
        self._client = dynamodb.client("dynamodb", described.dynamodb_url, described.resolved)
        self._log = stage.printed("api")

    async def settle(self) -> Settled:
        """Wait for a lease and some sweeps; then have hours pass; then compare."""
        began = time.monotonic()
        settled = Settled()
        ends = began + PATIENCE_SECONDS
        while True:
            records = await asyncio.to_thread(self._records)
            differ, late = self._now(records)
            if not differ or time.monotonic() > ends:
                break
            await asyncio.sleep(1)
        settled.seconds = time.monotonic() - began
        settled.backstop = len(late)
        settled.differ = [f"after {PATIENCE_SECONDS} s: {one}" for one in differ]
        if not differ:
            self._stage.kill("sweep")
            settled.differ = await asyncio.to_thread(self._hours_later)
        settled.differ += self._heard.surprises
        return settled

    def _records(self) -> dict[str, dict[str, Any]]:
        return read_records(self._client, self._stage.settings.reservations_table)

    def _now(self, records: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        now = SystemClock().now_ms()
        late = left_to_the_backstop(self._truth, records, now)
        # One that the sweep has just come upon may be due for a moment.
        sentences = differences(self._truth, records, self._heard, now=now - 2_000, log=self._log)
        return [one for one in sentences if not any(sid in one for sid in late)], late

    def _hours_later(self) -> list[str]:
        clock = _Ahead()
        service = Runtime(settings=self._stage.settings, dynamodb=self._client, clock=clock)
        failures = []
        for _ in range(_SWEEPS):
            try:
                sweep(
                    service.desk,
                    service.orders,
                    time_left_ms=lambda: 60_000,
                    report=lambda _result: None,
                )
            except SweepFailed as error:
                failures.append(f"hours later: {error}")
        records = self._records()
        now = clock.now_ms()
        return failures + differences(self._truth, records, self._heard, now=now, log=self._log)
