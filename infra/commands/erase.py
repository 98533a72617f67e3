"""Erase one record on request, as somebody whose data it holds may ask."""

import click

from chalicelib.adapters.dynamodb.client import make_client
from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.domain.sids import is_sid
from infra.commands.common import settings_of, stage_option, told

_SECONDS = 10.0
"""For the one call; nobody waits for an answer within TaskRouter's five."""


@click.command()
@click.argument("reservation_sid")
@stage_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@told
def erase(reservation_sid: str, stage: str, *, yes: bool) -> None:
    """Delete the record of RESERVATION_SID (WR...), for good.

    TaskRouter keeps its own, and while it tells of the Reservation its record comes back: erase
    what ended a quarter of an hour ago or earlier. A point-in-time backup holds the record for up
    to 35 more days.
    Exit code 1: there is no such record, or it was not deleted.
    """
    if not is_sid(reservation_sid, "WR"):
        raise click.UsageError("RESERVATION_SID must be WR followed by 32 hexadecimal digits.")
    settings = settings_of(stage)
    if not yes:
        table = settings.reservations_table
        click.confirm(f"Delete {reservation_sid} from the table {table}?", abort=True, err=True)
    store = DynamoReservationStore(
        make_client(_SECONDS),
        reservations_table=settings.reservations_table,
        state_table=settings.state_table,
        retention_days=settings.retention_days,
    )
    if not store.erase(reservation_sid):
        raise click.ClickException(f"There is no record of {reservation_sid} in stage {stage}.")
    click.echo(f"{reservation_sid} is erased.")
