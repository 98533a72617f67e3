"""The operator's command line: `python -m infra --help`."""

import os

import click

from chalicelib import config
from chalicelib.domain.auth import Role
from infra.aws import stage_config
from infra.commands import token as token_command
from infra.commands.deploy import deploy, package, prepare_command
from infra.commands.destroy import destroy
from infra.commands.erase import erase
from infra.commands.logs import logs
from infra.commands.rules import rules
from infra.commands.secrets import secrets
from infra.commands.status import status
from infra.commands.sweep import sweep
from infra.errors import OperatorError


@click.group()
def main() -> None:
    """What operators do around a deployed or a local taskrouter-callbacks."""


@main.command()
@click.option("--role", required=True, type=click.Choice([str(role) for role in Role]))
@click.option("--worker", metavar="SID|NAME", help="Who the bearer is; a worker token needs it.")
@click.option(
    "--hours",
    default=8.0,
    show_default=True,
    type=click.FloatRange(0, token_command.MAX_HOURS, min_open=True),
    help="How long the token holds.",
)
@click.option("--stage", default="local", show_default=True, help="Of .chalice/config.json.")
def token(role: str, worker: str | None, hours: float, stage: str) -> None:
    """Print a bearer token for the API.

    The settings are those of the stage, laid under the shell's environment.
    """
    if role == Role.WORKER and not worker:
        raise click.UsageError("A worker token needs --worker, a Worker's SID or name.")
    try:
        settings = config.load(stage_config.environment(stage, os.environ))
        key = token_command.of_stage(settings)
        worker_sid = token_command.find_sid(settings, key, worker) if worker else None
    except (OperatorError, config.SettingsError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(token_command.mint(settings, key, role=role, worker_sid=worker_sid, hours=hours))


for command in (
    deploy,
    prepare_command,
    package,
    destroy,
    status,
    secrets,
    sweep,
    erase,
    logs,
    rules,
):
    main.add_command(command)

if __name__ == "__main__":
    main()
