"""Workflows."""

from taskrouter_simulator.engine import events
from taskrouter_simulator.engine.configuration import Configuration, ConfigurationError, read
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import CLOSED, Workflow, Workspace


def add(
    engine: Engine,
    workspace: Workspace,
    *,
    friendly_name: str,
    configuration: str,
    assignment_callback_url: str = "",
    fallback_assignment_callback_url: str = "",
    task_reservation_timeout: int = 120,
    sid: str | None = None,
) -> Workflow:
    """Add a Workflow.

    Args:
        engine: the engine.
        workspace: where.
        friendly_name: unique in the Workspace.
        configuration: JSON text.
        assignment_callback_url: "" for none.
        fallback_assignment_callback_url: "" for none.
        task_reservation_timeout: seconds.
        sid: a fixed SID, for seeds.

    Raises:
        BadRequest: the name is taken, or the configuration is wrong.
    """
    if any(one.friendly_name == friendly_name for one in workspace.workflows.values()):
        raise BadRequest(f"Workflow {friendly_name} already exists in this workspace")
    workflow = Workflow(
        **vars(engine.stamp("WW", sid)),
        friendly_name=friendly_name,
        text=configuration,
        configuration=require_configuration(workspace, configuration),
        assignment_callback_url=assignment_callback_url,
        fallback_assignment_callback_url=fallback_assignment_callback_url,
        task_reservation_timeout=task_reservation_timeout,
    )
    workspace.workflows[workflow.sid] = workflow
    publish(engine, workspace, workflow, "created")
    return workflow


def require_configuration(workspace: Workspace, text: str) -> Configuration:
    """Read a configuration that fits the Workspace.

    Raises:
        BadRequest: it is not one, or names a TaskQueue that is not there.
    """
    try:
        configuration = read(text)
    except ConfigurationError as error:
        raise BadRequest(f"Workflow configuration is invalid: {error}") from error
    for sid in configuration.queue_sids() - set(workspace.queues):
        raise BadRequest(f"Workflow configuration is invalid: TaskQueue {sid} does not exist")
    return configuration


def delete(engine: Engine, workspace: Workspace, workflow: Workflow) -> None:
    """Remove a Workflow.

    Raises:
        BadRequest: a Task that is not closed is in it.
    """
    open_tasks = (task for task in workspace.tasks.values() if task.status not in CLOSED)
    if any(task.workflow_sid == workflow.sid for task in open_tasks):
        raise BadRequest(f"Workflow {workflow.sid} has tasks and cannot be deleted")
    del workspace.workflows[workflow.sid]
    publish(engine, workspace, workflow, "deleted")


def publish(engine: Engine, workspace: Workspace, workflow: Workflow, what: str) -> None:
    """Publish `workflow.created`, `workflow.updated` or `workflow.deleted`."""
    events.publish(
        engine, workspace, f"workflow.{what}", f"Workflow {workflow.friendly_name} {what}",
        sid=workflow.sid, WorkflowSid=workflow.sid, WorkflowName=workflow.friendly_name,
    )  # fmt: skip
