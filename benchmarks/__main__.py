"""`python -m benchmarks`: measure, print, and fail where a promise is broken."""

import click

from benchmarks import rules, weight


@click.command()
@click.option(
    "--samples", default=1000, show_default=True, help="Callbacks answered, of each kind."
)
@click.option("--starts", default=7, show_default=True, help="Processes started, of each kind.")
def main(samples: int, starts: int) -> None:
    """Measure in one run what is compared, turn by turn, so that a busy machine slows both.

    Exit code 1: a promise is broken.
    """
    kept = [rules.measure(samples), weight.measure(starts)]
    raise SystemExit(0 if all(kept) else 1)


if __name__ == "__main__":
    main()
