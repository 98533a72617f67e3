"""Plans changes to a stage's Workspace, asks for confirmation, and executes the changes."""

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from infra import OperatorError
from infra.aws import Aws, stage_config
from infra.aws.config_file import FILE
from infra.aws.stage_config import Stage
from infra.commands import connection
from infra.commands.dialog import Dialog
from infra.twilio_account import Workspace
from infra.workspace import apply as execution
from infra.workspace import stage_settings, text
from infra.workspace.export import export, read_all
from infra.workspace.kinds import ACTIVITIES, URLS, WORKFLOW, WORKSPACE
from infra.workspace.plan import Action, Change, Plan, make_plan
from infra.workspace.state import State, new, read_for
from infra.workspace.target import (
    TIMEOUTS,
    WORKFLOW_SID,
    Target,
    ensure_consistent_timeouts,
    of_stage,
    sids_in_shell,
)
from infra.workspace.values import declared, parameters
from taskrouter_simulator.definition.configuration import Directory
from taskrouter_simulator.definition.model import WorkspaceDefinition

_WORKSPACE_SID = "TWILIO_WORKSPACE_SID"
_CHANGED = (
    "This command changed nothing, because the Workspace or the file has changed since the plan "
    "was made, for example because an earlier apply was interrupted. Make a new plan and apply it."
)


def plan_changes(target: Target, definition: WorkspaceDefinition, *, prune: bool) -> Plan:
    """Compare a definition with the Workspace of a stage.

    If the stage has no SID, the Workspace is found by the name in the definition. If no Workspace
    has this name, the plan creates the Workspace.

    Raises:
        OperatorError: The Workspace can't be read, or the definition contradicts the Workspace or
            the settings of the stage.
    """
    if target.stage:
        ensure_consistent_timeouts(target.stage, definition)
    has_sid = bool(target.workspace_sid)
    target = target.find_workspace(definition.friendly_name)
    is_found_by_name = bool(target.workspace_sid) and not has_sid
    if is_found_by_name and prune:
        raise OperatorError(
            "Nothing was changed. --prune needs the SID of the Workspace, but the Workspace "
            f"{definition.friendly_name!r} ({target.workspace_sid}) was found by its name. Set "
            f"{_WORKSPACE_SID} for stage {target.stage_name} in {FILE}, or apply without --prune "
            "first."
        )
    state = new(definition.friendly_name)
    if target.workspace_sid:
        context = target.context()
        state = target.account.call(lambda: read_for(context, definition))
    _check_workflow(target, state, prune=prune)
    plan = make_plan(
        definition,
        state,
        api_url=target.api_url,
        prune=prune,
        reasons_to_keep=_reasons_to_keep_workflows(target),
    )
    return replace(plan, is_found_by_name=is_found_by_name)


def _reasons_to_keep_workflows(target: Target) -> dict[str, str]:
    """Return why `--prune` must not delete the Workflows in the stage's settings, by their SIDs."""
    remedies = {
        WORKFLOW_SID: "Before you delete it, set another SID",
        TIMEOUTS: "Before you delete it, remove the entry",
    }
    return {
        sid: f"its SID is in {setting} of stage {target.stage_name}. {remedies[setting]}"
        for sid, setting in target.workflows.items()
    }


def _check_workflow(target: Target, state: State, *, prune: bool) -> None:
    """Warn, or refuse to prune, if the Workflow in the settings of the stage does not exist.

    If the SID in the settings is wrong, `--prune` could delete the Workflow that the stage needs.
    """
    existing = {workflow.sid for workflow in state.of(WORKFLOW)}
    for sid, setting in target.workflows.items():
        if setting == WORKFLOW_SID and sid not in existing:
            problem = (
                f"{setting} of stage {target.stage_name} is {sid}, but the Workspace has no such "
                "Workflow."
            )
            if prune:
                raise OperatorError(
                    f"Nothing was changed. {problem} If the SID is wrong, --prune could delete the "
                    "Workflow that the stage needs. Correct the SID, or apply without --prune "
                    "first."
                )
            click.echo(f"Warning: {problem}", err=True)


def read_plan(file: Path) -> tuple[str, bool]:
    """Read a plan printed by `workspace plan --json`.

    Returns:
        The plan's checksum, and whether the plan prunes.

    Raises:
        OperatorError: The file is not such a plan.
    """
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
        return str(value["checksum"]), bool(value["prune"])
    except (ValueError, KeyError, TypeError) as error:
        raise OperatorError(
            f"{file} is not a plan. Make one: python -m infra workspace plan --json"
        ) from error


def require_unchanged(plan: Plan, checksum: str) -> None:
    """Check that a plan still has the given checksum.

    Raises:
        OperatorError: The checksums differ.
    """
    if plan.checksum != checksum:
        raise OperatorError(_CHANGED)


def apply_plan(
    target: Target,
    definition: WorkspaceDefinition,
    plan: Plan,
    dialog: Dialog,
    *,
    force: bool,
) -> bool:
    """Execute a plan if the operator confirms it, and complete the settings of the stage.

    Returns:
        Whether the Workspace matches the definition now.

    Raises:
        OperatorError: The plan must not be executed, or TaskRouter refused a change.
    """
    execution.refuse_impossible(plan, force=force)
    if dialog.assumes_yes:
        replaced_urls = [change.before.get(name) or "" for change in plan.changes for name in URLS]
        connection.ensure_not_in_use(connection.find_other_stages(replaced_urls, target.base_url))
    if plan.changes and not dialog.confirm(_question(plan)):
        click.echo("Nothing was changed. To confirm in advance, add --yes.", err=True)
        return False
    target, plan = _open_workspace(target, definition, plan)
    context = target.context()
    sids = target.account.call(lambda: execution.apply(plan, context, _report))
    if target.stage:
        existing = {*sids.values(), *(item.resource.sid for item in plan.unmanaged)}
        stage_settings.complete(target.stage, definition, sids, existing)
        _warn_of_missing_callbacks(target, existing)
    return True


def _open_workspace(
    target: Target, definition: WorkspaceDefinition, plan: Plan
) -> tuple[Target, Plan]:
    """Write missing SIDs to the settings, after creating the Workspace if necessary.

    Returns:
        The target with the SID, and the plan for the existing Workspace.
    """
    target = target.find_workspace(definition.friendly_name)
    if target.workspace_sid != plan.workspace_sid:
        raise OperatorError(_CHANGED)
    if not target.workspace_sid:
        target = replace(target, workspace_sid=_create_workspace(target, definition))
        _report(plan.changes[0])
    if target.stage:
        changes = sids_in_shell(target.stage_name)
        if _WORKSPACE_SID in stage_config.empty_sids(target.stage_name):
            changes[_WORKSPACE_SID] = target.workspace_sid
        if changes:
            stage_settings.write(target.stage_name, changes)
    if not plan.workspace_sid:
        confirmed, plan = plan, plan_changes(target, definition, prune=plan.prune)
        execution.refuse_unplanned(plan, confirmed)
    return target, plan


def _question(plan: Plan) -> str:
    deleted = len(plan.of(Action.DELETE))
    suffix = f" and delete {deleted} of its resources" if deleted else ""
    return f"Change the Workspace {plan.workspace!r}{suffix}?"


def _report(change: Change) -> None:
    click.echo(text.printable(f"{change.title}: {change.action}d"), err=True)


def _create_workspace(target: Target, definition: WorkspaceDefinition) -> str:
    """Create the Workspace, and return its SID.

    TaskRouter also creates Activities, and sets one of them as the default Activity. The caller
    therefore makes a new plan from the actual Workspace.
    """
    values = declared(WORKSPACE, definition, target.api_url)
    initial = {name: value for name, value in values.items() if name not in ACTIVITIES}
    arguments: dict[str, Any] = parameters(initial, Directory({}))
    workspaces, name = target.account.workspaces, definition.friendly_name
    return target.account.call(
        lambda: execution.create_once(
            lambda: str(workspaces.create(**arguments).sid),
            lambda: target.find_workspace(name).workspace_sid or None,
        )
    )


def apply_file(aws: Aws, stage: Stage, url: str, dialog: Dialog) -> None:
    """Apply the definition of a stage's Workspace if the operator confirms the changes.

    Args:
        aws: The account and region.
        stage: The deployed stage, which has a `workspace_file`.
        url: URL of the stage's API.
        dialog: Asks the operator for confirmation.

    Raises:
        OperatorError: The definition is invalid, or TaskRouter refused a change.
    """
    target = of_stage(aws, stage, url)
    definition = target.read_definition(None)
    plan = plan_changes(target, definition, prune=False)
    if plan.changes:
        for line in text.lines(plan, target.mask):
            click.echo(line, err=True)
    apply_plan(target, definition, plan, dialog, force=False)


def _warn_of_missing_callbacks(target: Target, existing: Collection[str]) -> None:
    """Warn if the deployed stage does not receive all callbacks and events that it needs."""
    stage = stage_config.read(target.stage_name, allow_empty_sids=True)
    workflow_sid = stage.settings.twilio_workflow_sid
    if not target.base_url or workflow_sid not in existing:
        return
    workspace = Workspace(target.account, target.workspace_sid, workflow_sid)
    prefix = stage.settings.callback_prefixes[0]
    changes = connection.find_changes(workspace, target.base_url, prefix)
    if changes:
        click.echo("Warning: the stage needs these values, which the file does not set:", err=True)
    for line in changes.lines:
        click.echo(f"  {text.printable(line)}", err=True)


def print_plan(plan: Plan, mask: Callable[[str], str], style: str) -> None:
    """Print a plan.

    Args:
        plan: The plan.
        mask: Returns a URL without secrets.
        style: "text", "json" or "markdown".
    """
    if style == "json":
        click.echo(json.dumps(text.as_json(plan, mask), indent=2))
    elif style == "markdown":
        click.echo(text.markdown(plan, mask))
    else:
        for line in text.lines(plan, mask):
            click.echo(line)


def export_workspace(target: Target, *, with_workers: bool) -> None:
    """Print the definition of a live Workspace.

    Raises:
        OperatorError: The Workspace can't be read, or has duplicate names.
    """
    if not target.workspace_sid:
        raise OperatorError(
            f"Stage {target.stage_name} in {FILE} does not set {_WORKSPACE_SID}. Set it to the SID "
            "of the Workspace to export."
        )
    context = target.context()
    state = target.account.call(lambda: read_all(context, with_workers=with_workers))
    definition, notes = export(
        state, api_url=target.api_url, base_url=target.base_url, with_workers=with_workers
    )
    click.echo(definition, nl=False)
    for note in notes:
        click.echo(f"Left out: {note}", err=True)
