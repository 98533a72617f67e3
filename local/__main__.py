"""The local stack's command line: `python -m local --help`."""

import importlib
import os
import signal
import sys

import click

from chalicelib.config import SettingsError
from infra import OperatorError
from local import dynamodb, network, run, stack

ERRORS = (stack.StackError, SettingsError, OperatorError, network.NotReadyError)


class _OneSentence(click.Group):
    """Reports what went wrong as one sentence and exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ERRORS as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_OneSentence)
def main() -> None:
    """Run everything on a laptop, in parts or whole. Ports and settings come by environment."""
    # Nothing here needs an AWS profile, and boto3 fails on one that this machine does not have.
    os.environ.pop("AWS_PROFILE", None)


@main.command("run")
def run_all() -> None:
    """Run the whole stack until Ctrl-C."""
    from local import run  # noqa: PLC0415  # honcho's import is for this command

    described = stack.describe(stack.WHOLE_TASKROUTER | dict(os.environ))
    stack.refuse_taken_ports(described)
    _warn(described)
    sys.exit(run.run(described))


@main.command("demo")
def run_demo() -> None:
    """Walk the life cycle on free ports, and say what was sent and answered."""
    from local import demo  # noqa: PLC0415

    sys.exit(demo.run(os.environ))


@main.command("dynamodb")
def run_dynamodb() -> None:
    """Run a DynamoDB on loopback, with the tables."""
    described = stack.describe(os.environ)
    stack.refuse_taken_ports(described, "dynamodb")
    port = described.port("DYNAMODB_PORT")

    def create_tables() -> None:
        client = dynamodb.client("cloudformation", dynamodb.url(port), described.resolved)
        dynamodb.create_tables(client, described.tables)

    dynamodb.serve(port, create_tables)


@main.command("api")
def run_api() -> None:
    """Run `chalice local`, fit for programs as callers."""
    from local import api  # noqa: PLC0415

    described = stack.describe(os.environ)
    stack.refuse_taken_ports(described, "api")
    os.environ.update(described.environ)
    api.serve(described.port("API_PORT"), stack.STAGE)


@main.command("sweep")
@click.option(
    "--every",
    envvar="SWEEP_EVERY_SECONDS",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="Seconds between sweeps.",
)
def run_sweep(every: float) -> None:
    """Sweep again and again."""
    from local import sweep_timer  # noqa: PLC0415

    os.environ.update(stack.describe(os.environ).environ)
    app = importlib.import_module("app")
    sweep_timer.sweep_for_ever(app.sweep, every)


@main.command("greet", hidden=True)
def greet() -> None:
    """Wait until everything answers, print what to do with it, and stay."""
    described = stack.describe(os.environ)
    for program in described.programs:
        if program.ready:
            network.wait_for(f"The program {program.name}", program.ready)
    click.echo(run.text(described))
    signal.pause()


def _warn(described: stack.Stack) -> None:
    names = stack.diverted(described, os.environ)
    if names:
        click.echo(run.warning(names), err=True)


main()
