"""Commands for the Workspace and its definition."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from infra.commands import break_lock_option, report_errors, stage_option
from infra.commands.dialog import Dialog, is_terminal

_CHANGES = 2
"""Exit code if there are changes that were not made."""


class _Group(click.Group):
    """A group whose usage errors have the exit code 1, because 2 means that there are changes."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        with _usage_errors():
            return super().invoke(ctx)


@contextmanager
def _usage_errors() -> Iterator[None]:
    try:
        yield
    except click.UsageError as error:
        error.exit_code = 1  # type: ignore[misc]  # click declares a class variable
        raise


def _file_option(help_text: str, **options: Any) -> Callable[[Any], Any]:
    path = click.Path(path_type=Path, exists=True, dir_okay=False)
    return click.option("--file", type=path, help=help_text, **options)


_definition_option = _file_option(
    "YAML or JSON file with the definition. Default: workspace_file of the stage in "
    ".chalice/config.json. The local stage uses SIMULATOR_WORKSPACE_FILE if it is set, and the "
    "quickstart's definition if neither is set."
)
_prune_option = click.option(
    "--prune", is_flag=True, help="Delete resources that are missing from the lists in the file."
)


@click.group(cls=_Group)
def workspace() -> None:
    """Manage the Workspace with a file (see docs/workspace.md)."""


@workspace.command()
@click.option(
    "--stage",
    "stage_name",
    help="A stage in .chalice/config.json. Required if any stage sets workspace_file, unless "
    "--file is passed or SIMULATOR_WORKSPACE_FILE is set.",
)
@_definition_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@report_errors
def check(stage_name: str | None, file: Path | None, *, as_json: bool) -> None:
    """Check the definition of the Workspace, offline and without a Twilio account.

    Exit code 1: the definition has errors. Warnings do not change the exit code.
    """
    # The simulator's package and YAML are slow to import, and other commands do not need them.
    from infra.workspace import check as checks  # noqa: PLC0415
    from infra.workspace import target  # noqa: PLC0415

    if checks.print_findings(file or target.find_definition(stage_name), as_json=as_json):
        raise SystemExit(1)


@workspace.command()
@stage_option
@_definition_option
@_prune_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for apply --plan.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print Markdown.")
@report_errors
def plan(
    stage_name: str, file: Path | None, *, prune: bool, as_json: bool, as_markdown: bool
) -> None:
    """Show how the Workspace differs from its definition. Changes nothing.

    Exit code 0: there is nothing to do; 2: there are changes; 1: an error.
    """
    from infra.workspace import runs, target  # noqa: PLC0415

    if as_json and as_markdown:
        raise click.UsageError("--json and --markdown cannot be combined.")
    style = "json" if as_json else "markdown" if as_markdown else "text"
    opened = target.open_target(stage_name)
    planned = runs.plan_changes(opened, opened.read_definition(file), prune=prune)
    runs.print_plan(planned, opened.mask, style)
    if planned.changes:
        raise SystemExit(_CHANGES)


@workspace.command()
@stage_option
@_definition_option
@_prune_option
@click.option(
    "--plan",
    "plan_file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Output of plan --json. If the Workspace or the definition has changed since the plan "
    "was made, the command changes nothing.",
)
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option(
    "--force", is_flag=True, help="Allow deleting more than 30% of the resources of a kind."
)
@break_lock_option
@report_errors
def apply(
    stage_name: str,
    file: Path | None,
    plan_file: Path | None,
    *,
    prune: bool,
    yes: bool,
    force: bool,
    break_lock: bool,
) -> None:
    """Change the Workspace so that it matches its definition.

    After each change, the resource is read again and compared with the values that were sent. If
    the command is interrupted, run it again; with --plan, make a new plan first. The stage cannot
    be deployed while the command runs.

    Exit code 0: the Workspace matches; 2: you did not confirm; 1: an error.
    """
    from infra.workspace import runs, target  # noqa: PLC0415

    checksum = None
    if plan_file:
        checksum, prunes = runs.read_plan(plan_file)
        prune = prune or prunes
    opened = target.open_target(stage_name)
    definition = opened.read_definition(file)
    dialog = Dialog(is_interactive=is_terminal(), assumes_yes=yes)
    with opened.locked(force=break_lock):
        planned = runs.plan_changes(opened, definition, prune=prune)
        if checksum is not None:
            runs.require_unchanged(planned, checksum)
        runs.print_plan(planned, opened.mask, "text")
        if not runs.apply_plan(opened, definition, planned, dialog, force=force):
            raise SystemExit(_CHANGES)


@workspace.command()
@stage_option
@click.option("--workers", is_flag=True, help="Include the Workers, with their attributes.")
@report_errors
def export(stage_name: str, *, workers: bool) -> None:
    """Print the definition of the live Workspace as YAML.

    If the YAML would be larger than 2 MB, the command prints JSON instead. Values that a definition
    cannot express, and URLs that may contain a secret, are left out. The omitted values are listed
    on standard error and, in YAML output, in a comment.
    """
    from infra.workspace import runs, target  # noqa: PLC0415

    runs.export_workspace(target.open_target(stage_name), with_workers=workers)
