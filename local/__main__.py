"""The command line of the local stack: `python -m local --help`."""

import importlib
import os
import sys
from collections.abc import Callable
from typing import NoReturn

import click

from chalicelib.config import SettingsError
from infra import OperatorError
from local import demo, dynamodb, functions, network, run, stack

ERRORS = (SettingsError, OperatorError, network.NotReadyError)


class _ErrorReportingGroup(click.Group):
    """Reports expected errors as a single message, with exit code 1."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ERRORS as error:
            raise click.ClickException(str(error)) from error


@click.group(cls=_ErrorReportingGroup)
def main() -> None:
    """Run the local stack or parts of it. Set ports and settings as environment variables."""
    # No command needs an AWS profile, and boto3 fails if the profile does not exist here.
    os.environ.pop("AWS_PROFILE", None)


@main.command("run")
def run_all() -> None:
    """Run the whole stack until Ctrl-C."""
    described = stack.describe(stack.OPTIONAL_CALLBACKS | dict(os.environ))
    _run(described, run.greeting, "make run")


@main.command("services")
def run_services() -> None:
    """Run DynamoDB, the simulator and the sweep until Ctrl-C, for `chalice local`."""
    described = stack.describe(stack.OPTIONAL_CALLBACKS | dict(os.environ))
    _run(described.without_api(), run.services_greeting, "make services")


def _run(described: stack.Stack, greeting: Callable[[stack.Stack], str], command: str) -> NoReturn:
    stack.check_ports_are_free(described)
    if conflicts := stack.conflicting_variables(described, os.environ):
        click.echo(stack.conflict_warning(conflicts, command), err=True)
    sys.exit(run.run(described, greeting))


@main.command("demo")
def run_demo() -> None:
    """Run the life cycle of a Task on free ports, and print every request and response."""
    sys.exit(demo.run(os.environ))


@main.command("dynamodb")
def run_dynamodb() -> None:
    """Run DynamoDB on 127.0.0.1, and create the tables."""
    described = stack.describe(os.environ)
    stack.check_ports_are_free(described, "dynamodb")

    def create_tables() -> None:
        client = dynamodb.client(described.dynamodb_url, described.resolved)
        dynamodb.create_tables(client, described.tables)

    dynamodb.serve(described.port("DYNAMODB_PORT"), create_tables)


@main.command("api")
def run_api() -> None:
    """Run `chalice local` with the local stage, on API_PORT."""
    described = stack.describe(os.environ)
    stack.check_ports_are_free(described, "api")
    functions.serve_api(described.port("API_PORT"), stack.STAGE)


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
    """Run the sweep periodically."""
    os.environ.update(stack.describe(os.environ).environ)
    # Imported only now because the app takes its settings from the environment.
    app = importlib.import_module("app")
    functions.sweep_periodically(app.sweep, every)


main()
