"""A stage's log lines."""

import re
import time
from collections.abc import Iterator

import click

from infra.aws import session, stage_config
from infra.aws.session import Aws
from infra.aws.stage_config import API, SWEEP
from infra.commands.common import cloud_stage_option, told

_UNITS = {"m": 60, "h": 3600, "d": 86_400}
_PAUSE_SECONDS = 2
_OVERLAP_MS = 60_000
"""CloudWatch takes lines in out of order, and some late."""


@click.command()
@cloud_stage_option
@click.option("--sweep", "of_sweep", is_flag=True, help="The sweep's, not the API's.")
@click.option("--since", default="10m", show_default=True, help="15m, 2h, 1d.")
@click.option("--follow", is_flag=True, help="Go on until Ctrl-C.")
@told
def logs(stage: str, since: str, *, of_sweep: bool, follow: bool) -> None:
    """Print a stage's log lines: one JSON line a request, or a sweep."""
    parsed = re.fullmatch(r"(\d+)([mhd])", since)
    if not parsed:
        raise click.BadParameter("--since takes a number and m, h or d, such as 15m.")
    target, place = stage_config.read(stage), session.here()
    start = round((time.time() - int(parsed[1]) * _UNITS[parsed[2]]) * 1000)
    group = target.log_group(SWEEP if of_sweep else API)
    for line in _lines(place, group, start, follow=follow):
        click.echo(line.rstrip())


def _lines(place: Aws, group: str, start: int, *, follow: bool) -> Iterator[str]:
    pages = place.client("logs").get_paginator("filter_log_events")
    seen: set[tuple[str | None, int, str]] = set()
    while True:
        newest = start
        for page in pages.paginate(logGroupName=group, startTime=start):
            for event in page["events"]:
                line = (event.get("logStreamName"), event["timestamp"], event["message"])
                if line not in seen:
                    seen.add(line)
                    newest = max(newest, event["timestamp"])
                    yield event["message"]
        if not follow:
            return
        start = max(start, newest - _OVERLAP_MS)
        seen = {line for line in seen if line[1] >= start}
        time.sleep(_PAUSE_SECONDS)
