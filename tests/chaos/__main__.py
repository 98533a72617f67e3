"""The command line: `python -m tests.chaos run`."""

import asyncio
import secrets
import sys
from collections import Counter

import click

from local.stack import StackError
from tests.chaos.runner import Orders, Outcome, run

_SHOWN = 30


@click.group()
def main() -> None:
    """Break everything, and see that nothing is lost and nothing happens twice."""


@main.command("run")
@click.option("--reservations", default=1000, show_default=True, help="At least so many.")
@click.option("--faults", default=200, show_default=True, help="At least so many that strike.")
@click.option("--seed", type=int, help="Of an earlier run; by default a new one.")
@click.option("--workers", default=20, show_default=True, help="So many Workers.")
@click.option(
    "--instruction",
    type=click.Choice(["defer", "accept"]),
    default="defer",
    show_default=True,
    help="What the app answers to callbacks.",
)
@click.option("--limit", default=900.0, show_default=True, help="Give up after so many seconds.")
def run_command(
    *,
    reservations: int,
    faults: int,
    seed: int | None,
    workers: int,
    instruction: str,
    limit: float,
) -> None:
    """Run the real stack under faults, then compare every record with the truth."""
    chosen = secrets.randbelow(1_000_000) if seed is None else seed
    click.echo(f"seed {chosen}: at least {reservations} Reservations and {faults} faults")
    orders = Orders(chosen, reservations, faults, workers, instruction, limit)
    try:
        outcome = asyncio.run(run(orders, click.echo))
    except StackError as error:
        raise click.ClickException(str(error)) from error
    click.echo(_report(outcome))
    sys.exit(1 if outcome.differ else 0)


def _report(outcome: Outcome) -> str:
    reservations = outcome.truth.reservations.values()
    ends = Counter(one.statuses[-1] for one in reservations)
    tasks = {one.task_sid for one in reservations}
    workers = {one.worker_sid for one in reservations}
    lines = [
        f"{len(reservations)} Reservations of {len(tasks)} Tasks for {len(workers)} Workers:",
        *(f"  {count:5} {status}" for status, count in ends.most_common()),
        f"{outcome.struck.total()} faults:",
        *(f"  {count:5} {name}" for name, count in sorted(outcome.struck.items())),
        f"{outcome.promises} decisions were answered 200.",
        f"The records agreed {outcome.settled.seconds:.1f} s after the last fault.",
        f"seed {outcome.orders.seed}, {outcome.seconds:.0f} s",
    ]
    differ = outcome.differ
    if not differ:
        return "\n".join([*lines, "Nothing differs: nothing was lost, nothing happened twice."])
    more = [f"  and {len(differ) - _SHOWN} more"] if len(differ) > _SHOWN else []
    return "\n".join([*lines, f"{len(differ)} differ:", *differ[:_SHOWN], *more])


main()
