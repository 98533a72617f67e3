"""The command line of the chaos tests: `python -m tests.chaos run`."""

import asyncio
import secrets
import sys
from collections import Counter

import click

from local.stack import StackError
from tests.chaos.runner.run import RunOptions, RunResult, run

_MAX_SHOWN = 30


@click.group()
def main() -> None:
    """Verify that no Reservation is lost or decided twice under faults."""


@main.command("run")
@click.option(
    "--reservations", default=1000, show_default=True, help="Minimum number of Reservations."
)
@click.option(
    "--faults", default=200, show_default=True, help="Minimum number of faults that take effect."
)
@click.option(
    "--seed", type=int, help="Seed, such as that of an earlier run. By default, the seed is random."
)
@click.option("--workers", default=20, show_default=True, help="Number of Workers.")
@click.option(
    "--instruction",
    type=click.Choice(["defer", "accept"]),
    default="defer",
    show_default=True,
    help="The app's answer to callbacks that match no rule.",
)
@click.option(
    "--limit",
    default=900.0,
    show_default=True,
    help="Seconds after which no more Tasks are created.",
)
def run_command(
    *,
    reservations: int,
    faults: int,
    seed: int | None,
    workers: int,
    instruction: str,
    limit: float,
) -> None:
    """Run the real stack under faults, then compare every record with TaskRouter."""
    chosen_seed = secrets.randbelow(1_000_000) if seed is None else seed
    click.echo(f"Seed {chosen_seed}: at least {reservations} Reservations and {faults} faults")
    options = RunOptions(chosen_seed, reservations, faults, workers, instruction, limit)
    try:
        result = asyncio.run(run(options, click.echo))
    except StackError as error:
        raise click.ClickException(str(error)) from error
    click.echo(_report(result))
    sys.exit(1 if result.differences else 0)


def _report(result: RunResult) -> str:
    reservations = result.truth.reservations.values()
    outcomes = Counter(reservation.statuses[-1] for reservation in reservations)
    tasks = {reservation.task_sid for reservation in reservations}
    workers = {reservation.worker_sid for reservation in reservations}
    lines = [
        f"{len(reservations)} Reservations for {len(tasks)} Tasks and {len(workers)} Workers:",
        *(f"  {count:5} {status}" for status, count in outcomes.most_common()),
        f"{result.fault_counts.total()} faults:",
        *(f"  {count:5} {name}" for name, count in sorted(result.fault_counts.items())),
        f"{result.confirmed_decisions} decisions were confirmed with status 200.",
        f"{result.instructions} instructions were sent over REST.",
        f"The comparison took {result.comparison.seconds:.1f} s.",
        f"The run with seed {result.options.seed} took {result.seconds:.0f} s.",
    ]
    differences = result.differences
    if not differences:
        lines.append("No differences: no Reservation was lost or decided twice.")
        return "\n".join(lines)
    hidden = len(differences) - _MAX_SHOWN
    note = [f"  and {hidden} more"] if hidden > 0 else []
    return "\n".join([*lines, f"{len(differences)} differences:", *differences[:_MAX_SHOWN], *note])


main()
