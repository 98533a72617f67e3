"""Commands that run a sweep or erase a record, with the operator's credentials."""

import json
import time

import click

from chalicelib import runtime
from chalicelib.domain.errors import SweepFailed
from chalicelib.domain.sids import is_sid
from chalicelib.usecases.sweep import sweep_due_reservations
from infra.commands import (
    connect_unless_local,
    open_store,
    report_errors,
    stage_option,
)
from infra.commands.dialog import confirm
from infra.commands.settings import load_settings

_SWEEP_SECONDS = 15 * 60


@click.command()
@stage_option
@click.option(
    "--monitor", is_flag=True, help="Count due rejections and completions without sending them."
)
@report_errors
def sweep(stage_name: str, *, monitor: bool) -> None:
    """Run one sweep and print its result as JSON.

    Exit code 1: a step of the sweep failed. "errors" counts the failures by error code.
    """
    overrides = {"SWEEP_MONITOR_ONLY": "true"} if monitor else {}
    settings = load_settings(stage_name, **overrides)
    connect_unless_local(stage_name, settings)
    service = runtime.current()
    deadline = time.monotonic() + _SWEEP_SECONDS

    try:
        sweep_due_reservations(
            service.collaborators,
            service.sweep_policy,
            service.statistics,
            time_left_ms=lambda: max(0, round((deadline - time.monotonic()) * 1000)),
            report=lambda line: click.echo(json.dumps(line)),
        )
    except SweepFailed as error:
        in_aws = settings.secrets_parameter
        hint = f" Run: python -m infra status --stage {stage_name}" if in_aws else ""
        raise click.ClickException(f"{error}{hint}") from error


@click.command()
@click.argument("reservation_sid")
@stage_option
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@report_errors
def erase(reservation_sid: str, stage_name: str, *, yes: bool) -> None:
    """Delete the record of RESERVATION_SID (WR...), irreversibly.

    The sweep may recreate the deleted record as long as TaskRouter reports the Reservation.
    Therefore, erase only records of Reservations that ended at least 15 minutes ago. Point-in-time
    backups keep the record for up to 35 more days.

    Exit code 1: there is no such record, or it was not deleted.
    """
    if not is_sid(reservation_sid, "WR"):
        raise click.UsageError("RESERVATION_SID must be WR followed by 32 hexadecimal digits.")
    settings = load_settings(stage_name)
    connect_unless_local(stage_name, settings)
    table = settings.reservations_table
    if not yes and not confirm(f"Delete {reservation_sid} from the table {table}?"):
        raise click.ClickException("Not confirmed. The record was not deleted.")
    if not open_store(settings).erase(reservation_sid):
        raise click.ClickException(
            f"There is no record of {reservation_sid} in stage {stage_name}."
        )
    click.echo(f"{reservation_sid} has been erased.")
