"""Command line of the benchmarks; fails if a limit is exceeded."""

import click

from benchmarks.measurements import measure_cold_start, measure_rules
from benchmarks.refusals import measure_refusals


@click.command()
@click.option(
    "--samples", default=1000, show_default=True, help="Number of callbacks per rule set."
)
@click.option(
    "--starts",
    default=7,
    show_default=True,
    help="Number of starts per program, and of refused requests per kind.",
)
def main(samples: int, starts: int) -> None:
    """Measure the cost of rules, of refused requests and of a cold start.

    The compared programs or rule sets run alternately, so that a busy machine slows all of them.
    The exit code is 1 if a limit is exceeded.
    """
    results = [measure_rules(samples), measure_refusals(starts), measure_cold_start(starts)]
    raise SystemExit(0 if all(results) else 1)


if __name__ == "__main__":
    main()
