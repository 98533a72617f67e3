"""The operator's command line: `python -m infra --help`."""

from infra import signals

if __name__ == "__main__":
    signals.exit_immediately()

import click

from infra.commands.deploy import deploy, package, prepare
from infra.commands.destroy import destroy
from infra.commands.doctor import doctor
from infra.commands.logs import logs
from infra.commands.records import erase, sweep
from infra.commands.rules import rules
from infra.commands.secrets import secrets
from infra.commands.status import status
from infra.commands.token import token
from infra.commands.workspace import workspace


@click.group()
def main() -> None:
    """Operate a deployed stage or the local stack."""


for command in (
    deploy,
    prepare,
    package,
    destroy,
    status,
    doctor,
    secrets,
    sweep,
    erase,
    logs,
    rules,
    token,
    workspace,
):
    main.add_command(command)

if __name__ == "__main__":
    signals.raise_keyboard_interrupts()
    main()
