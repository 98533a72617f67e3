"""Command line of the benchmarks."""

import tempfile
from pathlib import Path

import click

from benchmarks import (
    accepts,
    capacity,
    costs,
    http_load,
    inputs,
    lambda_functions,
    pages,
    polls,
    programs,
    refusals,
    report,
    rules,
    simulator_load,
    sweeps,
    tables,
)


@click.command()
@click.option(
    "--rounds", default=500, show_default=True, help="Number of warm invocations per program."
)
@click.option(
    "--starts",
    default=21,
    show_default=True,
    help="Number of cold starts per program.",
)
@click.option(
    "--refusals",
    "refused",
    default=50,
    type=click.IntRange(min=1),
    show_default=True,
    help="Number of refused requests of each kind.",
)
@click.option(
    "--processes",
    default=3,
    show_default=True,
    help="Number of pyperf processes for each number of rules.",
)
@click.option(
    "--requests",
    default=400,
    show_default=True,
    help="Number of HTTP requests, and of life cycles in the simulator, per measurement.",
)
@click.option(
    "--records",
    default=200_000,
    type=click.IntRange(min=20_000),
    show_default=True,
    help="Number of records in the largest table.",
)
@click.option(
    "--tasks",
    default=10_000,
    type=click.IntRange(min=1),
    show_default=True,
    help="Maximum number of Tasks of each kind (waiting, closed, assigned), and of Workers that "
    "match no Task.",
)
def main(
    *,
    rounds: int,
    starts: int,
    refused: int,
    processes: int,
    requests: int,
    records: int,
    tasks: int,
) -> None:
    """Compare this app with simple reference programs, and print a table of the results.

    The command prints rows as soon as they are measured. Then it prints the costs of a million
    Reservations, the DynamoDB requests and read units of the console's pages, the costs of consoles
    that poll the overview, and the tables in docs/capacity.md. The costs depend on measured CPU
    times, and therefore on the machine. The requests, the read units and the tables in
    docs/capacity.md do not depend on the machine.

    The programs to compare run in turn, so that a busy machine slows down all of them. Only the
    ratios are meaningful. The table also shows missed goals, but these do not change the exit code.
    If a measurement fails, the command prints the error, and continues with the next measurement.
    The exit code is then 1.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runtime = programs.build_runtime(folder / "runtime")
        app = programs.build_app(folder / "this", inputs.lambda_environ())
        sections: list[report.Section] = [
            lambda: lambda_functions.measure(runtime, app, folder, rounds, starts),
            lambda: accepts.measure(runtime, app, folder, rounds),
            lambda: sweeps.measure(runtime, app),
            lambda: refusals.measure(runtime, app, refused),
            lambda: tables.measure(records),
            lambda: rules.measure(processes),
            lambda: http_load.measure(requests),
            lambda: simulator_load.measure(requests, tasks),
            lambda: [f"Machine: {report.machine()}"],
            lambda: [costs.report(runtime, app, costs.Prices(), costs.Assumptions())],
            lambda: [pages.render(pages.measure_sizes())],
            lambda: [polls.report(runtime, app, costs.Prices(), costs.Assumptions())],
            lambda: capacity.render(capacity.Inputs()),
        ]
        report.print_sections(sections)


if __name__ == "__main__":
    main()
