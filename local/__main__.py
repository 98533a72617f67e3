"""The command line of the local stack: `python -m local --help`."""

from infra import signals

if __name__ == "__main__":
    # `run`, `services` and `demo` later replace these signal handlers to end their child processes.
    signals.exit_immediately()

import importlib.util
import os
import sys
from collections.abc import Callable
from typing import NoReturn

import click

from chalicelib.config import SettingsError
from infra import OperatorError
from infra.signals import Interrupted
from local import dynamodb, functions, network, run, stack

ERRORS = (SettingsError, OperatorError, network.NotReadyError)


_PACKAGES = ("ministack", "uvicorn", "starlette", "aiohttp", "lark", "python_multipart")
"""Packages that the local stack's services need."""


class _ErrorReportingGroup(click.Group):
    """Reports expected errors as a message and exit code 1, and signals as an exit code."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except ERRORS as error:
            raise click.ClickException(str(error)) from error
        except Interrupted as signal:
            raise SystemExit(signal.exit_code) from signal


@click.group(cls=_ErrorReportingGroup)
def main() -> None:
    """Run the local stack or parts of it.

    Set ports and settings with environment variables.
    """
    # No command needs an AWS profile, and boto3 fails if the named profile does not exist.
    os.environ.pop("AWS_PROFILE", None)


def _check_packages() -> None:
    """Raise OperatorError if a package that the services need is not installed."""
    if missing := [name for name in _PACKAGES if importlib.util.find_spec(name) is None]:
        raise OperatorError(
            f"These packages are not installed: {', '.join(missing)}. Run `make run` or "
            "`make services`, which install them, or: pip install -r requirements-run.txt"
        )


@main.command("run")
def run_all() -> None:
    """Run the whole stack until Ctrl-C."""
    local_stack = stack.describe(stack.OPTIONAL_CALLBACKS | dict(os.environ))
    _run(local_stack, run.greeting, "make run")


@main.command("services")
def run_services() -> None:
    """Run DynamoDB, the simulator and the sweep until Ctrl-C, for `chalice local`."""
    local_stack = stack.describe(stack.OPTIONAL_CALLBACKS | dict(os.environ))
    _run(local_stack.without_api(), run.services_greeting, "make services")


def _run(
    local_stack: stack.Stack, greeting: Callable[[stack.Stack], str], command: str
) -> NoReturn:
    _check_packages()
    _check_sweep_interval()
    stack.check_ports_are_free(local_stack)
    if conflicts := stack.conflicting_variables(local_stack, os.environ):
        click.echo(stack.conflict_warning(local_stack, conflicts, command), err=True)
    sys.exit(run.run(local_stack, greeting))


def _check_sweep_interval() -> None:
    """Raise OperatorError for an invalid interval before the sweep is started."""
    try:
        run_sweep.make_context("sweep", [])
    except click.BadParameter as error:
        text = os.environ["SWEEP_EVERY_SECONDS"]
        raise OperatorError(
            f"SWEEP_EVERY_SECONDS must be a number of seconds greater than 0, not {text!r}."
        ) from error


@main.command("demo")
def run_demo() -> None:
    """Show the life cycle of Tasks, with requests and responses. The demo uses free ports."""
    # Import the demo only here, so that the stack's programs start without the demo's SDKs.
    from local import demo  # noqa: PLC0415

    _check_packages()
    sys.exit(demo.run(os.environ))


@main.command("dynamodb")
def run_dynamodb() -> None:
    """Run the DynamoDB emulator on 127.0.0.1 and create the tables."""
    _check_packages()
    local_stack = stack.describe(os.environ)
    stack.check_ports_are_free(local_stack, "dynamodb")

    def create_tables() -> None:
        client = dynamodb.client(local_stack.dynamodb_url)
        dynamodb.create_tables(client, local_stack.tables)

    hosts = network.allowed_hosts(local_stack.settings.public_base_url, os.environ)
    dynamodb.serve(local_stack.port("DYNAMODB_PORT"), create_tables, hosts)


@main.command("api")
def run_api() -> None:
    """Run `chalice local` with the local stage, on API_PORT."""
    local_stack = stack.describe(os.environ)
    stack.check_ports_are_free(local_stack, "api")
    functions.serve_api(local_stack.port("API_PORT"), stack.STAGE)


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
    # The app reads its settings from the environment, so it is imported after the update.
    app = importlib.import_module("app")
    functions.sweep_periodically(app.sweep, every)


main()
