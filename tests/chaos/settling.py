"""Time goes on, and everything comes right."""

import asyncio
import time
from dataclasses import dataclass

from chalicelib.runtime import SystemClock
from local import dynamodb
from tests.chaos.floor import Heard
from tests.chaos.stage import Stage
from tests.chaos.truth import Truth, read_records
from tests.chaos.verdict import differences

PATIENCE_SECONDS = 60
"""A lease, a sweep, a reconciliation and the 15 s that it leaves out, on a busy machine."""


@dataclass(frozen=True)
class Settled:
    """What came of it.

    Attributes:
        differ: sentences; none is what everybody hopes for.
        seconds: how long it took.
    """

    differ: list[str]
    seconds: float


async def settle(stage: Stage, truth: Truth, heard: Heard) -> Settled:
    """Wait until our table says what the truth is, and nothing is left over.

    Args:
        stage: whose; nothing may go wrong any more.
        truth: which does not change any more.
        heard: what was said.
    """
    described = stage.described
    client = dynamodb.client("dynamodb", described.dynamodb_url, described.resolved)
    log = stage.printed("api")
    began = time.monotonic()
    while True:
        records = await asyncio.to_thread(read_records, client, stage.settings.reservations_table)
        # One that the sweep has just come upon may be due for a moment.
        now = SystemClock().now_ms() - 2_000
        differ = differences(truth, records, heard, now=now, log=log)
        seconds = time.monotonic() - began
        if not differ or seconds > PATIENCE_SECONDS:
            break
        await asyncio.sleep(1)
    late = [f"after {PATIENCE_SECONDS} s: {one}" for one in differ]
    return Settled([*late, *heard.surprises], seconds)
