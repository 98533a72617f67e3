"""Completes the settings of a stage after a definition of its Workspace has been applied."""

import json
from collections.abc import Collection, Mapping

import click

from infra import OperatorError
from infra.aws import stage_config
from infra.aws.config_file import FILE
from infra.aws.stage_config import Stage
from infra.workspace.kinds import WORKFLOW
from infra.workspace.target import TIMEOUTS, WORKFLOW_SID
from taskrouter_simulator.definition.model import Unmanaged, WorkspaceDefinition, managed

_TIMEOUT = "RESERVATION_TIMEOUT_SECONDS"


def complete(
    stage: Stage,
    definition: WorkspaceDefinition,
    sids: Mapping[tuple[str, str], str],
    existing: Collection[str],
) -> None:
    """Write the Workflow's SID and the reservation timeouts to config.json.

    Args:
        stage: The stage.
        definition: The definition that has been applied.
        sids: The SIDs by kind and name.
        existing: The SIDs of all resources of the kinds that the definition lists.

    Raises:
        OperatorError: The timeouts contradict other settings of the stage.
    """
    variables = stage_config.environment(stage.name, {})
    changes = _missing_workflow(variables, definition, sids)
    current = stage.settings.reservation_timeouts_by_workflow
    if not isinstance(definition.workflows, Unmanaged):
        current = {sid: seconds for sid, seconds in current.items() if sid in existing}
    timeouts = {
        sids[WORKFLOW.key, item.friendly_name]: item.task_reservation_timeout
        for item in managed(definition.workflows, ())
        if not isinstance(item.task_reservation_timeout, Unmanaged)
    }
    changes |= _changed_timeouts(stage, {**variables, **changes}, timeouts, current)
    if changes:
        try:
            completed = stage_config.read(stage.name, changes, allow_empty_sids=True)
            stage_config.ensure_runnable(completed)
        except OperatorError as error:
            raise OperatorError(
                f"The Workspace matches the file, but {', '.join(changes)} could not be written to "
                f"{FILE}. {error}"
            ) from error
        write(stage.name, changes)


def write(stage_name: str, changes: Mapping[str, str]) -> None:
    """Write variables of a stage to config.json, and report them."""
    stage_config.set_variables(stage_name, changes)
    written = ", ".join(f"{name}={value}" for name, value in changes.items())
    click.echo(f"Written to {FILE}: {written}", err=True)


def _missing_workflow(
    variables: Mapping[str, str],
    definition: WorkspaceDefinition,
    sids: Mapping[tuple[str, str], str],
) -> dict[str, str]:
    """Return the SID of the definition's only Workflow if the stage's Workflow does not exist."""
    workflows = managed(definition.workflows, ())
    if len(workflows) != 1 or variables.get(WORKFLOW_SID, "").strip() in {*sids.values()}:
        return {}
    return {WORKFLOW_SID: sids[WORKFLOW.key, workflows[0].friendly_name]}


def _changed_timeouts(
    stage: Stage,
    variables: Mapping[str, str],
    timeouts: Mapping[str, int],
    current: Mapping[str, int],
) -> dict[str, str]:
    """Return new values for settings that differ from the timeouts in the definition.

    Workflows with the same timeout as the stage's Workflow need no entry in `TIMEOUTS`.

    Args:
        stage: The stage.
        variables: The variables of the stage, with the SID of its Workflow.
        timeouts: The timeouts in the definition by SID.
        current: The timeouts in the settings by SID, except those of Workflows that no longer
            exist.
    """
    changes = {}
    default = timeouts.get(variables.get(WORKFLOW_SID, "").strip())
    if default is None:
        default = stage.settings.reservation_timeout_seconds
    elif variables.get(_TIMEOUT, "").strip() != str(default):
        changes[_TIMEOUT] = str(default)
    updated = {**current} | {
        sid: seconds for sid, seconds in timeouts.items() if seconds != default or sid in current
    }
    if updated != stage.settings.reservation_timeouts_by_workflow:
        changes[TIMEOUTS] = json.dumps(updated)
    return changes
