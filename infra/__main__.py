"""The operator's command line: `python -m infra --help`."""

import os

import click

from chalicelib import config
from chalicelib.domain.principals import Role
from infra import keys, stages, tokens, workers
from infra.deploying import deploy, package, prepare_command
from infra.destroying import destroy
from infra.erasing import erase
from infra.errors import OperatorError
from infra.logs import logs
from infra.rules import rules
from infra.secret_keys import secrets
from infra.status import status
from infra.sweeping import sweep


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
    type=click.FloatRange(0, tokens.MAX_HOURS, min_open=True),
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
        settings = config.load(stages.environment(stage, os.environ))
        key = keys.of_stage(settings)
        worker_sid = workers.find_sid(settings, key, worker) if worker else None
    except (OperatorError, config.SettingsError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(tokens.mint(settings, key, role=role, worker_sid=worker_sid, hours=hours))


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
