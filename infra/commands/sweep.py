"""One sweep from the operator's desk, with the operator's own credentials."""

import json
import os
import time
from typing import Any

import click

from chalicelib import runtime
from chalicelib.domain.errors import SweepFailed
from chalicelib.usecases import sweep as use_case
from infra.commands.common import settings_of, stage_option, told

_SECONDS = 15 * 60


@click.command()
@stage_option
@click.option("--once", is_flag=True, required=True, help="Once; the schedule is what repeats it.")
@click.option("--monitor", is_flag=True, help="Only count what it would reject and complete.")
@told
def sweep(stage: str, *, once: bool, monitor: bool) -> None:  # noqa: ARG001  # a word, not a choice
    """Sweep now, and print what came of it as JSON.

    Exit code 1: something due could not be looked at; "errors" counts by Code.
    """
    if monitor:
        os.environ["SWEEP_MONITOR_ONLY"] = "true"
    settings_of(stage)
    service = runtime.current()
    deadline = time.monotonic() + _SECONDS

    def report(result: dict[str, Any]) -> None:
        click.echo(json.dumps(result))

    try:
        use_case.sweep_due_reservations(
            service.collaborators,
            service.sweep_policy,
            time_left_ms=lambda: max(0, round((deadline - time.monotonic()) * 1000)),
            report=report,
        )
    except SweepFailed as error:
        raise click.ClickException(str(error)) from error
