"""Command that prints a stage's log lines."""

import re
import time
from collections.abc import Iterator

import click

from infra.aws import Aws, stage_config
from infra.aws.stage_config import API, SWEEP
from infra.commands import cloud_stage_option, connect_to_stage, report_errors

_UNIT_SECONDS = {"m": 60, "h": 3600, "d": 86_400}
_POLL_SECONDS = 2
_OVERLAP_MS = 60_000
"""Overlap of successive polls, so that lines that CloudWatch ingests late or out of order are not
missed."""


@click.command()
@cloud_stage_option
@click.option(
    "--sweep", "from_sweep", is_flag=True, help="Print the sweep's log lines instead of the API's."
)
@click.option(
    "--since",
    default="10m",
    show_default=True,
    help="Age of the oldest line to print, such as 15m, 2h or 1d.",
)
@click.option("--follow", is_flag=True, help="Print new lines until Ctrl-C.")
@report_errors
def logs(stage_name: str, since: str, *, from_sweep: bool, follow: bool) -> None:
    """Print a stage's log lines.

    The app writes a JSON line per request, sweep or unexpected error. Lambda adds lines such as
    START and REPORT.
    """
    parsed = re.fullmatch(r"([0-9]{1,4})([mhd])", since)
    if not parsed:
        raise click.BadParameter(
            "--since must be a number of at most 4 digits, followed by m, h or d, such as 15m."
        )
    stage = stage_config.read(stage_name, allow_empty_sids=True)
    aws = connect_to_stage(stage)
    start_ms = round((time.time() - int(parsed[1]) * _UNIT_SECONDS[parsed[2]]) * 1000)
    group = stage.log_group(SWEEP if from_sweep else API)
    try:
        for line in _lines(aws, group, start_ms, follow=follow):
            click.echo(line.rstrip())
    except KeyboardInterrupt:
        if not follow:
            raise


def _lines(aws: Aws, group: str, start_ms: int, *, follow: bool) -> Iterator[str]:
    pages = aws.client("logs").get_paginator("filter_log_events")
    printed: set[tuple[str | None, int, str]] = set()
    while True:
        newest_ms = start_ms
        for page in pages.paginate(logGroupName=group, startTime=start_ms):
            for event in page["events"]:
                key = (event.get("logStreamName"), event["timestamp"], event["message"])
                if key not in printed:
                    printed.add(key)
                    newest_ms = max(newest_ms, event["timestamp"])
                    yield event["message"]
        if not follow:
            return
        start_ms = max(start_ms, newest_ms - _OVERLAP_MS)
        printed = {key for key in printed if key[1] >= start_ms}
        time.sleep(_POLL_SECONDS)
