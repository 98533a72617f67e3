"""Command line of the benchmarks; prints one table."""

import click

from benchmarks import capacity, http_load, lambda_functions, refusals, report, rules


@click.command()
@click.option(
    "--rounds", default=500, show_default=True, help="Number of warm invocations per program."
)
@click.option("--starts", default=21, show_default=True, help="Number of cold starts per program.")
@click.option(
    "--processes", default=3, show_default=True, help="Number of processes per in-process figure."
)
@click.option(
    "--requests", default=400, show_default=True, help="Number of requests per load over HTTP."
)
def main(rounds: int, starts: int, processes: int, requests: int) -> None:
    """Compare this app with programs that anyone can build, and print one table.

    The tables of docs/capacity.md follow. They do not depend on the machine.

    Compared programs run alternately, so that a busy machine slows all of them. Only the ratios
    are meaningful. A missed goal is shown in the table, and does not change the exit code.
    """
    figures = [
        *lambda_functions.measure(rounds, starts),
        *rules.measure(processes),
        *refusals.measure(starts),
        *http_load.measure(requests),
    ]
    click.echo("\n\n".join([report.render(figures), *capacity.render(capacity.Inputs())]))


if __name__ == "__main__":
    main()
