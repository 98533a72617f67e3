"""Commands for the definition of the Workspace."""

from pathlib import Path

import click

from infra.commands import report_errors


@click.group()
def workspace() -> None:
    """Check the definition of the Workspace (see docs/workspace.md)."""


@workspace.command()
@click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="SIMULATOR_WORKSPACE_FILE",
    show_envvar=True,
    show_default="the quickstart's definition",
    help="YAML or JSON file with the definition.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@report_errors
def check(file: Path | None, *, as_json: bool) -> None:
    """Check the definition of the Workspace, without a Twilio account.

    Exit code 1: the definition has errors. Warnings do not change the exit code.
    """
    # The simulator's package and YAML are slow to import, and other commands do without them.
    from infra.workspace import check as checks  # noqa: PLC0415

    if checks.print_findings(file, as_json=as_json):
        raise SystemExit(1)
