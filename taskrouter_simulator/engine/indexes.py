"""Indexes that let a routing pass examine only the Tasks that a change affects.

The indexes are derived from the state and can be rebuilt at any time. Tasks with the same
requirement can be handled by the same Workers, so one evaluation per Worker serves all of them.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from taskrouter_simulator.engine import workers
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.expressions import Keys, Value, reference, references
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
from taskrouter_simulator.engine.waiting import FreeWorker, PendingTasks, Requirement

_STATE_NAMES = frozenset({"activity_sid", "activity_name", "channel"})
"""Names whose values can change while the Worker's attributes stay the same."""
_MIN_PURGE_SIZE = 1000


@dataclass(frozen=True)
class Dependencies:
    """The values on which an expression depends, besides the attributes of a Worker.

    Attributes:
        task_values: Functions that look up the values in the context of a Task.
        on_state: Whether the expression depends on a Worker's Activity or TaskChannels.
        on_time: Whether the expression depends on the time of day.
    """

    task_values: tuple[Value, ...] = ()
    on_state: bool = False
    on_time: bool = False


@lru_cache(maxsize=4096)
def find_dependencies(expression: str) -> Dependencies:
    """Return the dependencies of an expression; an empty expression has none."""
    found = tuple(references(expression)) if expression.strip() else ()
    task_keys = (keys for keys in found if keys[0] not in {"worker", "taskrouter"})
    return Dependencies(
        task_values=tuple(reference(keys) for keys in task_keys),
        on_state=any(_is_state(keys) for keys in found),
        on_time=any(keys[0] == "taskrouter" for keys in found),
    )


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
class _Entry:
    """The indexed state of a Worker."""

    worker: Worker
    texts: tuple[str, str] | None = None
    queues: dict[str, QueueIndex] = field(default_factory=dict)
    requirements: dict[Requirement, None] = field(default_factory=dict)
    position: FreeWorker | None = None
    free_for: dict[Requirement, None] = field(default_factory=dict)


class WorkerIndex:
    """The Workers of a Workspace by TaskQueue and requirement.

    Args:
        engine: The engine.
        workspace: The Workspace.
        on_free: Called with a requirement when a Worker becomes free for its Tasks.
        on_change: Called with a requirement when one of its free Workers changes.
    """

    def __init__(
        self,
        engine: Engine,
        workspace: Workspace,
        on_free: Callable[[Requirement], None],
        on_change: Callable[[Requirement], None],
    ) -> None:
        self._engine = engine
        self._workspace = workspace
        self._on_free = on_free
        self._on_change = on_change
        self._changed = dict(workspace.workers)
        self._entries: dict[str, _Entry] = {}
        self._sids_by_name: dict[str, str] = {}
        self._queues: dict[str, QueueIndex] = {}
        self._state_queues: dict[str, QueueIndex] = {}
        self._requirements: dict[Any, Requirement] = {}
        self._state_requirements: dict[Requirement, None] = {}
        self._timed_requirements: dict[Requirement, None] = {}
        self._minute = -1
        self._purge_at = _MIN_PURGE_SIZE

    def note(self, worker: Worker) -> bool:
        """Note a change of a Worker; return whether the Worker belongs to the Workspace."""
        if worker.sid not in self._workspace.workers and worker.sid not in self._entries:
            return False
        self._changed[worker.sid] = worker
        return True

    def refresh(self) -> None:
        """Index the changed Workers."""
        changed, self._changed = self._changed, {}
        for worker in changed.values():
            self._update(worker)

    def refresh_time(self) -> None:
        """Reevaluate the expressions that depend on the time of day, at most once a minute."""
        minute = int(self._engine.now() // 60)
        if minute == self._minute:
            return
        self._minute = minute
        for requirement in self._timed_requirements:
            for entry in self._entries.values():
                self._withdraw(entry, [requirement])
                self._match(entry, requirement)
                self._place(entry, [requirement])

    def queue(self, sid: str) -> QueueIndex:
        """Return the Workers of a TaskQueue."""
        if sid not in self._queues:
            queue = self._queues[sid] = QueueIndex()
            definition = self._workspace.queues.get(sid)
            if definition and find_dependencies(definition.target_workers).on_state:
                self._state_queues[sid] = queue
            for entry in self._entries.values():
                self._update_membership(entry, sid)
        return self._queues[sid]

    def find_member(
        self, queue_sid: str, *, sid: Any = None, friendly_name: Any = None
    ) -> Worker | None:
        """Return the TaskQueue's Worker with the given SID or friendly name, or None."""
        if isinstance(friendly_name, str):
            sid = self._sids_by_name.get(friendly_name.casefold())
        if not isinstance(sid, str) or sid not in self.queue(queue_sid).members:
            return None
        return self._entries[sid].worker

    def requirement(
        self,
        key: Any,
        create: Callable[[], Requirement],
        dependencies: Dependencies,
        candidates: Iterable[str],
    ) -> Requirement:
        """Return the requirement with the given key.

        Args:
            key: Two Tasks have the same requirement if the keys are equal.
            create: Creates the requirement if the key is new.
            dependencies: The dependencies of the target's expression.
            candidates: SIDs of the Workers that can match a new requirement.
        """
        requirement = self._requirements.get(key)
        if requirement is None:
            self._purge()
            requirement = self._requirements[key] = create()
            if dependencies.on_state or requirement.queue_sid in self._state_queues:
                self._state_requirements[requirement] = None
            if dependencies.on_time:
                self._timed_requirements[requirement] = None
            for sid in candidates:
                self._match(self._entries[sid], requirement)
                self._place(self._entries[sid], [requirement])
        return requirement

    def has_timed_tasks(self) -> bool:
        """Return whether a waiting Task's target depends on the time of day."""
        return any(requirement.count for requirement in self._timed_requirements)

    def _purge(self) -> None:
        """Drop the requirements without waiting Tasks, if there are many requirements."""
        if len(self._requirements) < self._purge_at:
            return
        for key, requirement in list(self._requirements.items()):
            if not requirement.count:
                del self._requirements[key]
                self._state_requirements.pop(requirement, None)
                self._timed_requirements.pop(requirement, None)
                for sid in requirement.matching:
                    entry = self._entries[sid]
                    del entry.requirements[requirement]
                    entry.free_for.pop(requirement, None)
        self._purge_at = max(_MIN_PURGE_SIZE, 2 * len(self._requirements))

    def _update(self, worker: Worker) -> None:
        """Index a new, changed or deleted Worker."""
        entry = self._entries.setdefault(worker.sid, _Entry(worker))
        self._withdraw(entry, list(entry.requirements))
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
        changed_requirements: Iterable[Requirement] = (
            self._requirements.values() if has_new_texts else self._state_requirements
        )
        for requirement in changed_requirements:
            self._match(entry, requirement)
        if exists:
            entry.position = (worker.unoccupied_since, worker.sequence, worker)
            self._place(entry, entry.requirements)
        else:
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
        if requirement.queue_sid in entry.queues and requirement.matches(entry.worker):
            requirement.matching.add(entry.worker.sid)
            entry.requirements[requirement] = None
        elif requirement in entry.requirements:
            requirement.matching.discard(entry.worker.sid)
            del entry.requirements[requirement]

    def _withdraw(self, entry: _Entry, requirements: Iterable[Requirement]) -> None:
        """Remove a Worker from the free Workers of the given requirements."""
        for requirement in requirements:
            if requirement in entry.free_for:
                del entry.free_for[requirement]
                del requirement.free[bisect_left(requirement.free, entry.position or ())]
                self._on_change(requirement)

    def _place(self, entry: _Entry, requirements: Iterable[Requirement]) -> None:
        """Add a Worker with free capacity to the free Workers of the matching requirements."""
        for requirement in requirements:
            channel_sid = requirement.channel_sid
            if requirement in entry.requirements and (
                channel_sid is None
                or workers.has_capacity(self._workspace, entry.worker, channel_sid)
            ):
                if entry.position is None:
                    continue
                insort(requirement.free, entry.position)
                entry.free_for[requirement] = None
                self._on_change(requirement)
                self._on_free(requirement)


class RoutingIndex:
    """The indexes of a Workspace.

    Attributes:
        workers: The Workers.
        tasks: The pending Tasks.
    """

    def __init__(self, engine: Engine, workspace: Workspace) -> None:
        self.workspace = workspace
        self.tasks = PendingTasks(workspace.tasks)
        self.workers = WorkerIndex(
            engine, workspace, self.tasks.note_free, self.tasks.note_rejected
        )

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
            indexes.clear()  # rare, so all indexes may be rebuilt
    for sid, index in list(indexes.items()):
        if engine.workspaces.get(sid) is not index.workspace:
            del indexes[sid]
    for resource in changes.values():
        any(
            index.note(resource, is_other_operation=is_other_operation)
            for index in indexes.values()
        )
