"""Builds the Workspace that a definition describes.

The SIDs of Activities, Workers, TaskQueues and Workflows are derived from their names, so they are
the same in every run. The Workspace and the first Workflow have fixed SIDs.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from taskrouter_simulator.definition.configuration import (
    Directory,
    UnknownName,
    derived_sid,
    replace_names,
    replace_sids,
    to_json,
)
from taskrouter_simulator.definition.document import (
    FORMAT,
    DefinitionError,
    Finding,
    Findings,
    Path,
)
from taskrouter_simulator.definition.expressions import ALWAYS, find_hyphenated_name
from taskrouter_simulator.definition.fields import API, EXPRESSIONS, LIMITS
from taskrouter_simulator.definition.model import (
    ROUTING,
    UNMANAGED,
    ActivityDefinition,
    Managed,
    Routing,
    TaskChannelDefinition,
    TaskQueueDefinition,
    Unmanaged,
    WorkerDefinition,
    WorkflowDefinition,
    WorkspaceDefinition,
    managed,
    walk_targets,
)
from taskrouter_simulator.definition.reader import MAX_RESERVATION_TIMEOUT, quickstart
from taskrouter_simulator.engine import names, workers, workflows, workspaces
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import ApiError
from taskrouter_simulator.engine.expressions import ExpressionError, Keys, references
from taskrouter_simulator.engine.model import Workspace
from taskrouter_simulator.identifiers import derived_hex
from taskrouter_simulator.spelling import find_similar

_KINDS = {
    "activity": "Activity",
    "task_channel": "TaskChannel",
    "task_queue": "TaskQueue",
    "worker": "Worker",
    "workflow": "Workflow",
}


def default_definition() -> WorkspaceDefinition:
    """Return the default definition, which is the quickstart's.

    The simulator's settings define the callback URLs and the Reservation timeout.
    """
    definition = quickstart()
    from_settings = [
        replace(
            workflow,
            assignment_callback_url=UNMANAGED,
            fallback_assignment_callback_url=UNMANAGED,
            task_reservation_timeout=UNMANAGED,
        )
        for workflow in managed(definition.workflows, ())
    ]
    return replace(definition, workflows=tuple(from_settings), event_callback_url=UNMANAGED)


def load(engine: Engine, definition: WorkspaceDefinition) -> Workspace:
    """Create a Workspace from a definition.

    Args:
        engine: The engine.
        definition: The definition. Unmanaged fields get TaskRouter's defaults, except for the
            callback URLs and the Reservation timeout, which the settings define.

    Raises:
        DefinitionError: The definition violates TaskRouter's rules.
    """
    findings = [
        Finding(("workflows", number), "a new Workflow must have a configuration")
        for number, workflow in enumerate(managed(definition.workflows, ()))
        if isinstance(workflow.configuration, Unmanaged)
    ]
    workspace = build(engine, definition, findings)
    if findings:
        raise DefinitionError(definition.document, findings)
    return workspace


def build(engine: Engine, definition: WorkspaceDefinition, findings: Findings) -> Workspace:
    """Create a Workspace from a definition, and report the definition's mistakes.

    Args:
        engine: The engine.
        definition: The definition.
        findings: Receives the mistakes. Resources with mistakes are incomplete or missing.
            Workflows whose configuration is not managed are missing.
    """
    return _Builder(engine, definition, findings).build()


class _Builder:
    """Creates the resources in a definition, in an order in which names can be resolved."""

    def __init__(self, engine: Engine, definition: WorkspaceDefinition, findings: Findings) -> None:
        self._engine = engine
        self._settings = engine.settings
        self._definition = definition
        self._findings = findings
        self._sids: dict[tuple[str, str], str] = {}
        self._workspace = workspaces.create(
            engine,
            friendly_name=definition.friendly_name,
            multi_task_enabled=managed(definition.multi_task_enabled, default=True),
            sid="WS" + derived_hex("workspace"),
        )
        for channel in self._workspace.channels.values():
            self._sids["task_channel", channel.unique_name] = channel.sid

    def build(self) -> Workspace:
        definition, workspace = self._definition, self._workspace
        default_activities = tuple(
            ActivityDefinition(friendly_name=name, available=available)
            for name, available in workspaces.DEFAULT_ACTIVITIES
        )
        activities = managed(definition.activities, default_activities)
        self._add_all("activities", activities, self._add_activity)
        default = self._activity(("default_activity",), definition.default_activity)
        workspace.default_activity_sid = default or workspace.default_activity_sid
        timeout = self._activity(("timeout_activity",), definition.timeout_activity)
        workspace.timeout_activity_sid = timeout or workspace.timeout_activity_sid
        self._add_all("task_channels", definition.task_channels, self._add_channel)
        self._add_all("workers", definition.workers, self._add_worker)
        self._add_all("task_queues", definition.task_queues, self._add_queue)
        self._add_all("workflows", definition.workflows, self._add_workflow)
        workspace.prioritize_queue_order = managed(definition.prioritize_queue_order, "FIFO")
        workspace.events_filter = ",".join(sorted(managed(definition.events_filter, None) or ()))
        workspace.event_callback_url = self._url(
            definition.event_callback_url, self._settings.event_path
        )
        return workspace

    def _add_all(
        self, key: str, items: Managed[tuple[Any, ...]], add: Callable[[Path, Any], None]
    ) -> None:
        for index, item in enumerate(managed(items, ())):
            with self._reporting((key, index)):
                add((key, index), item)

    @contextmanager
    def _reporting(self, path: Path) -> Iterator[None]:
        """Convert an exception raised for an invalid definition into a finding at the path."""
        try:
            yield
        except ApiError as error:
            self._report(path, error.message)
        except UnknownName as error:
            known = [name for kind, name in self._sids if kind == error.kind]
            similar = find_similar(error.name, known)
            hint = f"; did you mean {similar!r}?" if similar else ""
            kind = _KINDS.get(error.kind, error.kind)
            self._report(path, f"there is no {kind} {error.name[:100]!r}{hint}")
        except ExpressionError as error:
            message = replace_sids(str(error), Directory(self._sids))
            self._report(path, f"{path[-1]}: {message}", EXPRESSIONS)

    def _report(self, path: Path, message: str, source: str = FORMAT) -> None:
        self._findings.append(Finding(path, message, source))

    def _find_sid(self, kind: str, name: str) -> str:
        return Directory(self._sids).sid(kind, name)

    def _activity(self, path: Path, name: Managed[str | None]) -> str | None:
        """Return the SID of an Activity; None if the name is null, unmanaged or unknown."""
        if name is not None and not isinstance(name, Unmanaged):
            with self._reporting(path):
                return self._find_sid("activity", name)
        return None

    def _url(self, url: Managed[str | None], path: str) -> str:
        """Return a callback URL; if it is not managed, the app's URL for the configured path."""
        if isinstance(url, Unmanaged):
            return self._settings.url(path)
        return (url or "").replace(API, self._settings.callback_base_url.rstrip("/"), 1)

    def _add_activity(self, _path: Path, item: ActivityDefinition) -> None:
        activity = workspaces.add_activity(
            self._engine,
            self._workspace,
            friendly_name=item.friendly_name,
            available=managed(item.available, default=False),
            sid=derived_sid("activity", item.friendly_name),
        )
        self._sids["activity", item.friendly_name] = activity.sid

    def _add_channel(self, _path: Path, item: TaskChannelDefinition) -> None:
        is_built_in = item.unique_name in workspaces.BUILT_IN_CHANNELS
        channel = self._workspace.channel(item.unique_name) if is_built_in else None
        if channel is None:
            channel = workspaces.add_channel(
                self._engine,
                self._workspace,
                friendly_name=item.unique_name,
                unique_name=item.unique_name,
            )
        channel.friendly_name = managed(item.friendly_name, channel.friendly_name)
        channel.channel_optimized_routing = managed(item.channel_optimized_routing, default=False)
        self._sids["task_channel", item.unique_name] = channel.sid

    def _add_worker(self, path: Path, item: WorkerDefinition) -> None:
        worker = workers.create(
            self._engine,
            self._workspace,
            friendly_name=item.friendly_name,
            attributes=json.dumps(managed(item.attributes, {})),
            activity_sid=self._activity((*path, "activity"), item.activity),
            sid=derived_sid("worker", item.friendly_name),
        )
        self._sids["worker", item.friendly_name] = worker.sid
        for name, capacity in managed(item.capacity, {}).items():
            with self._reporting((*path, "capacity", name)):
                worker.channels[self._find_sid("task_channel", name)].capacity = capacity

    def _add_queue(self, path: Path, item: TaskQueueDefinition) -> None:
        queue = workspaces.add_queue(
            self._engine,
            self._workspace,
            friendly_name=item.friendly_name,
            target_workers="",
            max_reserved_workers=managed(item.max_reserved_workers, 1),
            task_order=managed(item.task_order, "FIFO"),
            sid=derived_sid("task_queue", item.friendly_name),
        )
        self._sids["task_queue", item.friendly_name] = queue.sid
        for key in ("reservation_activity", "assignment_activity"):
            if getattr(item, key) is not UNMANAGED:
                sid = self._activity((*path, key), getattr(item, key))
                setattr(queue, f"{key}_sid", sid)
        text = managed(item.target_workers, ALWAYS)
        with self._reporting((*path, "target_workers")):
            queue.target_workers = self._expression(text, names.WORKERS, references)
            if text.strip():
                self._engine.compile(queue.target_workers)  # so that the first evaluation is fast

    def _expression(
        self, text: str, scope: names.Scope, find_references: Callable[[str], Iterable[Keys]]
    ) -> str:
        """Return an expression with SIDs instead of names, after checking it.

        Raises:
            ExpressionError: The text is not an expression, or contains an unknown name.
            UnknownName: A variable names a resource that does not exist.
        """
        expression = replace_names(text, self._find_sid)
        if name := find_hyphenated_name(expression):
            raise ExpressionError(f"the name {name[:100]} must not contain a hyphen")
        digits = self._settings.names_may_begin_with_digit
        if expression.strip():
            found = find_references(expression)
            names.require_names(found, scope, self._workspace, names_may_begin_with_digit=digits)
        return expression

    def _add_workflow(self, path: Path, item: WorkflowDefinition) -> None:
        timeout = managed(item.task_reservation_timeout, self._settings.reservation_timeout)
        minimum = self._settings.least_reservation_timeout
        if timeout < minimum and item.task_reservation_timeout is not UNMANAGED:
            limits = f"a whole number from {minimum} to {MAX_RESERVATION_TIMEOUT}"
            key = "task_reservation_timeout"
            self._report((*path, key), f"{key} must be {limits}, not {timeout}")
        if isinstance(item.configuration, Unmanaged):
            return
        configuration = self._configuration((*path, *ROUTING), item.configuration)
        if configuration is None:
            return
        settings, name = self._settings, item.friendly_name
        fixed = "WW" + derived_hex("workflow")
        workflow = workflows.add(
            self._engine,
            self._workspace,
            friendly_name=name,
            configuration=configuration,
            assignment_callback_url=self._url(
                item.assignment_callback_url, settings.assignment_path
            ),
            fallback_assignment_callback_url=self._url(
                item.fallback_assignment_callback_url, settings.fallback_path
            ),
            task_reservation_timeout=timeout,
            sid=fixed if path[-1] == 0 else derived_sid("workflow", name),
        )
        self._sids["workflow", name] = workflow.sid

    def _configuration(self, path: Path, routing: Routing) -> str | None:
        """Return a configuration as JSON with SIDs, or None if the configuration is invalid."""
        before = len(self._findings)
        if not (routing.filters or routing.default_filter):
            self._report(path, "task_routing must have filters or a default_filter")
        for number, item in enumerate(routing.filters):
            filter_path = (*path, "filters", number)
            if not item.targets:
                self._report((*filter_path, "targets"), "targets must not be empty")
            with self._reporting((*filter_path, "expression")):
                self._expression(item.expression or ALWAYS, names.FILTER, references)
        for steps, target in walk_targets(routing):
            target_path = (*path, *steps)
            if target.queue is None and target_path[-1] in {0, "default_filter"}:
                owner = "default_filter" if target_path[-1] else "the first target of a filter"
                self._report(target_path, f"{owner} must have a queue")
            if target.queue is not None:
                with self._reporting((*target_path, "queue")):
                    self._find_sid("task_queue", target.queue)
            for key, scope, find_references in workflows.TARGET_FIELDS:
                with self._reporting((*target_path, key)):
                    self._expression(getattr(target, key) or "", scope, find_references)
        if len(self._findings) > before:
            return None
        text = json.dumps(to_json(routing, Directory(self._sids)))
        if len(text) > workflows.MAX_CONFIGURATION:
            limit = f"the maximum is {workflows.MAX_CONFIGURATION:,}"
            problem = f"the configuration is {len(text):,} bytes long as JSON; {limit}"
            self._report(path, problem, source=LIMITS)
            return None
        return text
