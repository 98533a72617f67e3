"""Indexes that let a routing pass examine only the Tasks that a change affects.

The indexes are derived from the state and can be rebuilt at any time. Tasks with the same
requirement can be offered to the same Workers, so one evaluation per Worker suffices for all of
these Tasks.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from taskrouter_simulator.engine import workers
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.expressions import Keys, Value, conditions, reference
from taskrouter_simulator.engine.model import (
    Activity,
    Reservation,
    Resource,
    Task,
    TaskChannel,
    TaskQueue,
    Worker,
    Workspace,
)
from taskrouter_simulator.engine.waiting import (
    Availability,
    FreeWorker,
    PendingTasks,
    Requirement,
)

_STATE_NAMES = frozenset({"activity_sid", "activity_name", "channel"})
"""Names whose values can change while the Worker's attributes and name stay the same."""
_MIN_PURGE_SIZE = 1000


@dataclass(frozen=True)
class Conditions:
    """Some of the conditions that an expression joins with AND.

    Attributes:
        text: The conditions as an expression; "" for no conditions.
        task_values: Functions that look up the referenced values in the context of a Task.
        depends_on_time: Whether a condition depends on the time of day.
    """

    text: str = ""
    task_values: tuple[Value, ...] = ()
    depends_on_time: bool = False


@lru_cache(maxsize=4096)
def split_by_state(expression: str) -> tuple[Conditions, Conditions]:
    """Split an expression into two parts, which are joined with AND.

    Returns:
        The conditions that do not depend on a Worker's Activity or TaskChannels, and the remaining
        conditions.
    """
    found = conditions(expression) if expression.strip() else ()
    parts = []
    for depends_on_state in (False, True):
        part = [
            (text, references)
            for text, references in found
            if any(map(_is_state, references)) is depends_on_state
        ]
        all_keys = [keys for _, references in part for keys in references]
        task_keys = [keys for keys in all_keys if keys[0] not in {"worker", "taskrouter"}]
        parts.append(
            Conditions(
                text=" AND ".join(text for text, _ in part),
                task_values=tuple(map(reference, task_keys)),
                depends_on_time=any(keys[0] == "taskrouter" for keys in all_keys),
            )
        )
    return parts[0], parts[1]


def _is_state(keys: Keys) -> bool:
    names = keys[1:] if keys[0] == "worker" else keys
    return not names or names[0] in _STATE_NAMES


@dataclass(eq=False)
class QueueIndex:
    """The Workers of a TaskQueue.

    Attributes:
        members: Each Worker's Activity, by the Worker's SID.
        activities: Number of Workers in each Activity.
    """

    members: dict[str, str] = field(default_factory=dict)
    activities: Counter[str] = field(default_factory=Counter)

    def update(self, worker: Worker, *, is_member: bool) -> None:
        """Add or remove a Worker, or count a member's new Activity."""
        if previous := self.members.pop(worker.sid, None):
            self.activities[previous] -= 1
        if is_member:
            self.members[worker.sid] = worker.activity_sid
            self.activities[worker.activity_sid] += 1


@dataclass(eq=False)
class _RequirementGroup:
    """The requirements that a Worker matches and that have the same availability.

    `position` is the Worker's position among the free Workers, or None if the Worker is not free.
    """

    requirements: dict[Requirement, None] = field(default_factory=dict)
    position: FreeWorker | None = None


@dataclass(eq=False)
class _Entry:
    """The indexed state of a Worker."""

    worker: Worker
    texts: tuple[str, str] | None = None
    queues: dict[str, QueueIndex] = field(default_factory=dict)
    groups: dict[Availability, _RequirementGroup] = field(default_factory=dict)


class WorkerIndex:
    """Indexes the Workers of a Workspace by TaskQueue and by requirement.

    Args:
        engine: The engine.
        workspace: The Workspace.
        on_change: Called with each requirement of waiting Tasks whose set of free Workers changes.
    """

    def __init__(
        self,
        engine: Engine,
        workspace: Workspace,
        on_change: Callable[[Requirement], None],
    ) -> None:
        self._engine = engine
        self._workspace = workspace
        self._on_change = on_change
        self._changed = dict(workspace.workers)
        self._entries: dict[str, _Entry] = {}
        self._sids_by_name: dict[str, str] = {}
        self._queues: dict[str, QueueIndex] = {}
        self._state_queues: dict[str, QueueIndex] = {}
        self._requirements: dict[Any, Requirement] = {}
        self._timed_requirements: dict[Requirement, None] = {}
        self._minute = -1
        self._purge_at = _MIN_PURGE_SIZE

    def note(self, worker: Worker) -> bool:
        """Note a change to a Worker; return whether the Worker belongs to the Workspace."""
        if worker.sid not in self._workspace.workers and worker.sid not in self._entries:
            return False
        self._changed[worker.sid] = worker
        return True

    def refresh(self) -> None:
        """Index the changed Workers; once a minute, reevaluate time-dependent requirements."""
        changed, self._changed = self._changed, {}
        for worker in changed.values():
            self._update(worker)
        minute = int(self._engine.now() // 60)
        if minute == self._minute:
            return
        self._minute = minute
        for requirement in self._timed_requirements:
            for entry in self._entries.values():
                self._match(entry, requirement)

    def queue(self, sid: str) -> QueueIndex:
        """Return the Workers of a TaskQueue."""
        if sid not in self._queues:
            queue = self._queues[sid] = QueueIndex()
            definition = self._workspace.queues.get(sid)
            if definition and split_by_state(definition.target_workers)[1].text:
                self._state_queues[sid] = queue
            for entry in self._entries.values():
                self._update_membership(entry, sid)
        return self._queues[sid]

    def find(self, *, sid: Any = None, friendly_name: Any = None) -> Worker | None:
        """Return the Worker with the given SID or friendly name, or None."""
        if isinstance(friendly_name, str):
            sid = self._sids_by_name.get(friendly_name.casefold())
        entry = self._entries.get(sid) if isinstance(sid, str) else None
        return entry.worker if entry else None

    def requirement(
        self,
        key: Any,
        create: Callable[[], Requirement],
        *,
        depends_on_time: bool,
        candidates: Iterable[str] | None,
    ) -> Requirement:
        """Return the requirement with the given key.

        Args:
            key: Two Tasks have the same requirement if their keys are equal.
            create: Creates the requirement if the key is new.
            depends_on_time: Whether the requirement depends on the time of day.
            candidates: SIDs of the only Workers that can match; None for no restriction.
        """
        requirement = self._requirements.get(key)
        if requirement is None:
            if len(self._requirements) >= self._purge_at:
                self._purge()
            requirement = self._requirements[key] = create()
            if depends_on_time:
                self._timed_requirements[requirement] = None
            queue_sid = requirement.availability.queue_sid
            members = self.queue(queue_sid).members
            if candidates is None:
                candidates = self._entries if queue_sid in self._state_queues else members
            for sid in candidates:
                self._match(self._entries[sid], requirement)
        return requirement

    def has_timed_tasks(self) -> bool:
        """Return whether a waiting Task's target depends on the time of day."""
        return any(requirement.count for requirement in self._timed_requirements)

    def _purge(self) -> None:
        """Drop the requirements without waiting Tasks."""
        self._requirements = {key: item for key, item in self._requirements.items() if item.count}
        self._timed_requirements = {item: None for item in self._timed_requirements if item.count}
        for entry in self._entries.values():
            for availability, group in list(entry.groups.items()):
                group.requirements = {item: None for item in group.requirements if item.count}
                if not group.requirements:
                    del entry.groups[availability]
        self._purge_at = max(_MIN_PURGE_SIZE, 2 * len(self._requirements))

    def _update(self, worker: Worker) -> None:
        """Index a new, changed or deleted Worker."""
        entry = self._entries.setdefault(worker.sid, _Entry(worker))
        exists = worker.sid in self._workspace.workers
        texts = (worker.attributes, worker.friendly_name) if exists else None
        has_new_texts = texts != entry.texts
        if has_new_texts:
            self._rename(entry, worker.friendly_name if exists else None)
        entry.texts = texts
        for queue in entry.queues.values():
            queue.update(worker, is_member=True)
        for sid in list(self._queues if has_new_texts else self._state_queues):
            self._update_membership(entry, sid)
        if has_new_texts:
            for requirement in self._requirements.values():
                self._match(entry, requirement)
        else:
            for availability, group in entry.groups.items():
                self._move(entry, availability, group)
        if not exists:
            del self._entries[worker.sid]

    def _rename(self, entry: _Entry, name: str | None) -> None:
        sid, previous = entry.worker.sid, entry.texts[1].casefold() if entry.texts else ""
        if self._sids_by_name.get(previous) == sid:
            del self._sids_by_name[previous]
        if name is not None:
            self._sids_by_name[name.casefold()] = sid

    def _update_membership(self, entry: _Entry, queue_sid: str) -> None:
        queue, worker = self._queues[queue_sid], entry.worker
        definition = self._workspace.queues.get(queue_sid)
        is_member = (
            definition is not None
            and entry.texts is not None
            and workers.is_member(self._engine, self._workspace, definition, worker)
        )
        queue.update(worker, is_member=is_member)
        if is_member:
            entry.queues[queue_sid] = queue
        else:
            entry.queues.pop(queue_sid, None)

    def _match(self, entry: _Entry, requirement: Requirement) -> None:
        """Evaluate a requirement for a Worker."""
        availability = requirement.availability
        group = entry.groups.get(availability) or _RequirementGroup()
        queue_sid = availability.queue_sid
        is_candidate = queue_sid in entry.queues or queue_sid in self._state_queues
        if is_candidate and requirement.matches(entry.worker):
            entry.groups[availability] = group
            if requirement not in group.requirements:
                group.requirements[requirement] = None
                self._change_free(requirement, None, group.position)
            self._move(entry, availability, group)
        elif requirement in group.requirements:
            self._change_free(requirement, group.position, None)
            del group.requirements[requirement]
            if not group.requirements:
                del entry.groups[availability]

    def _move(self, entry: _Entry, availability: Availability, group: _RequirementGroup) -> None:
        """Update a Worker's position among the free Workers of the matching requirements."""
        is_member = availability.queue_sid in entry.queues
        position = availability.position(entry.worker) if is_member else None
        if position != group.position:
            for requirement in group.requirements:
                self._change_free(requirement, group.position, position)
            group.position = position

    def _change_free(
        self, requirement: Requirement, previous: FreeWorker | None, current: FreeWorker | None
    ) -> None:
        """Replace a Worker's position among the free Workers of a requirement."""
        if previous:
            del requirement.free[bisect_left(requirement.free, previous)]
        if current:
            insort(requirement.free, current)
        if requirement.count and (previous or current):
            self._on_change(requirement)


class RoutingIndex:
    """The indexes of a Workspace.

    Attributes:
        workers: The Workers.
        tasks: The pending Tasks.
    """

    def __init__(self, engine: Engine, workspace: Workspace) -> None:
        self.workspace = workspace
        self.tasks = PendingTasks(workspace.tasks)
        self.workers = WorkerIndex(engine, workspace, self.tasks.note_workers)

    def note(self, resource: Resource, *, is_other_operation: bool) -> bool:
        """Note a change; return whether the resource belongs to the Workspace.

        Args:
            resource: The changed resource.
            is_other_operation: Whether another operation caused the change during a routing pass.
        """
        workspace = self.workspace
        match resource:
            case Worker():
                return self.workers.note(resource)
            case Task():
                if resource.sid not in workspace.tasks and not self.tasks.is_waiting(resource):
                    return False
                if is_other_operation:
                    self.tasks.note_later(resource)
                else:
                    self.tasks.note(resource)
                return True
            case Reservation():
                worker = workspace.workers.get(resource.worker_sid)
                return worker is not None and self.workers.note(worker)
        return False


def find_index(
    engine: Engine, workspace: Workspace, *, is_other_operation: bool = False
) -> RoutingIndex:
    """Return the up-to-date index of a Workspace.

    Args:
        engine: The engine.
        workspace: The Workspace.
        is_other_operation: Whether another operation caused the changes since the previous call,
            during a routing pass.
    """
    indexes: dict[str, RoutingIndex] = engine.indexes
    _note_changes(engine, indexes, is_other_operation=is_other_operation)
    if workspace.sid not in indexes:
        indexes[workspace.sid] = RoutingIndex(engine, workspace)
    index = indexes[workspace.sid]
    index.workers.refresh()
    return index


def _note_changes(
    engine: Engine, indexes: dict[str, RoutingIndex], *, is_other_operation: bool
) -> None:
    """Note each change since the previous call in the index of the resource's Workspace."""
    changes, engine.changes = engine.changes, {}
    for resource in changes.values():
        if isinstance(resource, Activity | TaskChannel | TaskQueue | Workspace):
            # Such changes are rare, so rebuilding all indexes is acceptable.
            indexes.clear()
    for sid, index in list(indexes.items()):
        if engine.workspaces.get(sid) is not index.workspace:
            del indexes[sid]
    for resource in changes.values():
        any(
            index.note(resource, is_other_operation=is_other_operation)
            for index in indexes.values()
        )
