"""The command line of the mutation tests: `python -m tests.mutants --seed 1`."""

import os
import signal
import time
from itertools import zip_longest

import click

from tests.mutants.project import THIS_PROJECT, Project
from tests.mutants.report import format_report
from tests.mutants.runner import Outcome, Result, Runner
from tests.mutants.sampling import EQUIVALENT, Sample, draw, read_equivalent
from tests.mutants.selection import Coverage, Selection, covered_by_tests


@click.command()
@click.option("--seed", type=int, required=True, help="Seed of the sample.")
@click.option("--count", default=300, show_default=True, help="Number of mutants.")
@click.option(
    "--package",
    type=click.Choice(list(THIS_PROJECT.packages)),
    help="The only package to mutate. By default, all packages get equal shares of the mutants.",
)
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Number of processes.")
def main(*, seed: int, count: int, package: str | None, jobs: int) -> None:
    """Change the code at random places, and report the changes that no test detects."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    packages = [package] if package else list(THIS_PROJECT.packages)
    click.echo(run(THIS_PROJECT, packages, seed=seed, count=count, jobs=jobs))


def run(project: Project, packages: list[str], *, seed: int, count: int, jobs: int) -> str:
    """Run a sample of mutants and return the report."""
    started = time.monotonic()
    _show("Collecting the test results of the unchanged code (stored results are reused) ...")
    covered = covered_by_tests(project, jobs=jobs)
    for test in covered.not_passed:
        _show(f"Ignoring a test that did not pass: {test}")
    samples = _draw(project, packages, seed=seed, count=count)
    _show(f"Running {sum(len(sample.mutants) for sample in samples.values())} mutants ...")
    results: dict[str, list[Result]] = {package: [] for package in packages}
    try:
        _run_mutants(project, covered, samples, results, jobs=jobs)
    except KeyboardInterrupt:
        _show("Interrupted. These are the results so far:")
    report = format_report(results, {name: sample.equivalent for name, sample in samples.items()})
    minutes = (time.monotonic() - started) / 60
    load = ", ".join(f"{average:.1f}" for average in os.getloadavg())
    return f"{report}\n\nSeed {seed}: {minutes:.1f} minutes; load average {load}"


def _draw(project: Project, packages: list[str], *, seed: int, count: int) -> dict[str, Sample]:
    """Draw about the same number of mutants from each package."""
    equivalent = read_equivalent(EQUIVALENT)
    share, rest = divmod(count, len(packages))
    return {
        package: draw(
            project, package, seed=seed, count=share + (number < rest), equivalent=equivalent
        )
        for number, package in enumerate(packages)
    }


def _run_mutants(
    project: Project,
    covered: Coverage,
    samples: dict[str, Sample],
    results: dict[str, list[Result]],
    *,
    jobs: int,
) -> None:
    package_of = {
        mutation: package for package, sample in samples.items() for mutation in sample.mutants
    }
    # Take a mutant from each package in turn, so that an interrupted run covers all packages.
    rows = zip_longest(*(sample.mutants for sample in samples.values()))
    mutants = [mutation for row in rows for mutation in row if mutation is not None]
    runner = Runner(project, covered, jobs=jobs)
    for number, result in enumerate(runner.run(mutants, Selection(project, covered).tests), 1):
        results[package_of[result.mutation]].append(result)
        if result.outcome is not Outcome.DETECTED:
            _show(f"{number}/{len(mutants)} {result.outcome}: {result.mutation}")
        elif number % 10 == 0:
            _show(f"{number}/{len(mutants)}")


def _show(progress: str) -> None:
    click.echo(progress, err=True)


if __name__ == "__main__":
    main()
