"""The pending Tasks of a Workspace: those that the next routing pass examines, and those that wait.

A waiting Task is examined only after a change that can affect it, when its step times out, or when
it can be offered to a free Worker again. Tasks that wait because no Worker is free are in one heap
per requirement. If a Worker becomes free for a requirement, the pass examines the first Task in the
heap. The pass examines further Tasks in the heap only while a Worker is free.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import Any

from taskrouter_simulator.engine.model import Evaluation, Task, TaskStatus, Worker

Rank = tuple[Any, ...]
"""Sort key of a Task in a routing pass; unique in its Workspace."""
FreeWorker = tuple[Any, float, int, Worker]
"""A Worker, preceded by its sort keys.

The keys are the values for `order_by`, `Worker.unoccupied_since` and `Worker.sequence`.
"""

_MIN_PURGE_SIZE = 100


@dataclass(eq=False)
class Wait:
    """A Task's wait for a Worker.

    Attributes:
        task: The Task.
        requirement: The Task's requirement.
        rank: Sort key of the Task.
        is_over: Whether this wait has ended. The Task may since have started another wait.
    """

    task: Task
    requirement: "Requirement"
    rank: Rank
    is_over: bool = False


@dataclass(eq=False)
class WaitHeap:
    """A heap of waits, smallest key first, that drops waits that are over."""

    _heap: list[tuple[Any, int, Wait]] = field(default_factory=list)
    _order: Iterator[int] = field(default_factory=itertools.count)
    _purge_at: int = field(default_factory=lambda: _MIN_PURGE_SIZE)

    def push(self, key: Any, wait: Wait) -> None:
        """Add a wait."""
        if len(self._heap) >= self._purge_at:
            self._heap = [item for item in self._heap if not item[2].is_over]
            heapify(self._heap)
            self._purge_at = max(_MIN_PURGE_SIZE, 2 * len(self._heap))
        heappush(self._heap, (key, next(self._order), wait))

    def first(self) -> tuple[Any, Wait] | None:
        """Return the smallest key with its wait, or None."""
        while self._heap and self._heap[0][2].is_over:
            heappop(self._heap)
        return (self._heap[0][0], self._heap[0][2]) if self._heap else None

    def pop_until(self, limit: float) -> Iterator[Wait]:
        """Remove the waits whose keys do not exceed the limit, and yield them."""
        while (first := self.first()) and first[0] <= limit:
            heappop(self._heap)
            yield first[1]

    def __iter__(self) -> Iterator[Wait]:
        """Yield all waits in no particular order."""
        return iter([wait for _, _, wait in self._heap if not wait.is_over])


@dataclass(frozen=True)
class Availability:
    """The part of a requirement that depends on a Worker's state.

    Attributes:
        queue_sid: WQ… SID of the TaskQueue to which the Worker must belong.
        key: Identifies `position` among the functions for the same TaskQueue.
        position: Returns the sort keys of a member of the TaskQueue, followed by the Worker; None
            if the Worker has no free capacity or does not meet the conditions.
    """

    queue_sid: str
    key: tuple[str | None, ...]
    position: Callable[[Worker], FreeWorker | None] = field(compare=False)


@dataclass(eq=False)
class Requirement:
    """The conditions that a Worker must meet to be offered a Task.

    Attributes:
        availability: The conditions that depend on the Worker's state.
        matches: Evaluates the other conditions.
        free: The matching and available Workers, sorted.
        waiting: The Tasks that wait because no Worker is free, by rank.
        delayed: The Tasks, by SID, that cannot be offered to a free Worker yet; see
            `Task.reoffer_times`.
        count: Number of waiting and delayed Tasks.
    """

    availability: Availability
    matches: Callable[[Worker], bool]
    free: list[FreeWorker] = field(default_factory=list)
    waiting: WaitHeap = field(default_factory=WaitHeap)
    delayed: dict[str, Task] = field(default_factory=dict)
    count: int = 0


class PendingTasks:
    """The pending Tasks of a Workspace.

    During a pass, `next` returns the Tasks in the order of their ranks, each at most once. A change
    that affects a Task that the pass has already examined or skipped takes effect in the next pass.

    Args:
        tasks: All Tasks of the Workspace by SID. The first pass examines the pending Tasks.
    """

    def __init__(self, tasks: Mapping[str, Task]) -> None:
        self._tasks = tasks
        self._changed = dict(tasks)
        self._waits: dict[str, Wait] = {}
        self._ready: dict[Requirement, None] = {}
        self._expirations = WaitHeap()
        self._offers = WaitHeap()
        self._pass: _Pass | None = None

    def is_waiting(self, task: Task) -> bool:
        """Return whether a Task is waiting."""
        return task.sid in self._waits

    def note(self, task: Task) -> None:
        """Note a change that affects a Task."""
        wait = self._waits.get(task.sid)
        if self._pass is None:
            self._changed[task.sid] = task
        elif wait and self._pass.is_eligible(wait):
            self._end_wait(task)
            self._pass.push(wait.rank, task)
        elif wait:
            self._changed[task.sid] = task

    def note_later(self, task: Task) -> None:
        """Note a change that affects a Task, for the next pass."""
        self._changed[task.sid] = task

    def note_workers(self, requirement: Requirement) -> None:
        """Note a change in the free Workers for a requirement."""
        for task in list(requirement.delayed.values()):
            self.note(task)
        if not requirement.free or requirement.waiting.first() is None:
            return
        if self._pass is None:
            self._ready[requirement] = None
        elif requirement not in self._pass.requirements:
            self._push_remaining(self._pass, requirement)

    def begin_pass(self, now: float) -> list[Task]:
        """Begin a pass; return the changed pending Tasks, oldest first."""
        due = itertools.chain(self._expirations.pop_until(now), self._offers.pop_until(now))
        self._changed |= {wait.task.sid: wait.task for wait in due}
        changed, self._changed = self._changed, {}
        for task in changed.values():
            self._end_wait(task)
        self._pass = _Pass()
        pending = (task for task in changed.values() if self.is_pending(task))
        return sorted(pending, key=lambda task: task.sequence)

    def start_offers(self, ranked_tasks: Iterable[tuple[Rank, Task]]) -> None:
        """Add the changed Tasks, and each requirement's first waiting Task if a Worker is free."""
        self._pass = self._pass or _Pass()
        for rank, task in ranked_tasks:
            self._pass.push(rank, task)
        ready, self._ready = self._ready, {}
        for requirement in ready:
            self._pass.requirements.add(requirement)
            self._push_first(self._pass, requirement)

    def next(self) -> Task | None:
        """Return the next Task to examine, or None at the end of the pass."""
        if self._pass is None:
            return None
        requirement, self._pass.current_requirement = self._pass.current_requirement, None
        if requirement:
            self._push_first(self._pass, requirement)
        while self._pass.heap:
            rank, _, task, wait = heappop(self._pass.heap)
            # Skip a waiting Task if preceding Tasks have used the capacity of all its Workers.
            is_candidate = wait is None or (wait.requirement.free and not wait.is_over)
            if is_candidate:
                self._end_wait(task)
            # Skip a Task that another operation has changed between two steps of the pass.
            if is_candidate and self.is_pending(task) and task.evaluation is Evaluation.NONE:
                self._pass.current_rank = rank
                self._pass.examined.add(task.sid)
                self._pass.current_requirement = wait.requirement if wait else None
                return task
            if wait:
                self._push_first(self._pass, wait.requirement)
        self._pass = None
        return None

    def wait(
        self, task: Task, requirement: Requirement, rank: Rank, *, expires: float, offer_at: float
    ) -> None:
        """Record that an examined Task is waiting.

        Args:
            task: The Task.
            requirement: The Task's requirement.
            rank: Sort key of the Task.
            expires: Time at which the Task's step times out; infinity if it never times out.
            offer_at: Time at which the Task can be offered again to a free Worker in
                `Task.reoffer_times`; infinity if no Worker is free.
        """
        wait = self._waits[task.sid] = Wait(task, requirement, rank)
        requirement.count += 1
        if expires < math.inf:
            self._expirations.push(expires, wait)
        if offer_at < math.inf:
            self._offers.push(offer_at, wait)
            requirement.delayed[task.sid] = task
        else:
            requirement.waiting.push(rank, wait)

    def next_offer(self) -> float:
        """Return the earliest time at which a delayed Task can be offered again, or infinity."""
        first = self._offers.first()
        return float(first[0]) if first else math.inf

    def is_pending(self, task: Task) -> bool:
        """Return whether a Task exists and is pending."""
        return task.status is TaskStatus.PENDING and self._tasks.get(task.sid) is task

    def _end_wait(self, task: Task) -> None:
        if wait := self._waits.pop(task.sid, None):
            wait.is_over = True
            wait.requirement.count -= 1
            wait.requirement.delayed.pop(task.sid, None)

    def _push_first(self, routing_pass: "_Pass", requirement: Requirement) -> None:
        """Add the first waiting Task of a requirement to a pass, if a Worker is free."""
        first = requirement.waiting.first() if requirement.free else None
        if first and routing_pass.is_eligible(first[1]):
            routing_pass.push(first[0], first[1].task, first[1])
            return
        routing_pass.requirements.discard(requirement)
        if first:
            self._push_remaining(routing_pass, requirement)

    def _push_remaining(self, routing_pass: "_Pass", requirement: Requirement) -> None:
        """Add a requirement's waiting Tasks that a pass can still examine.

        The next pass examines the others. This scan is slow, but it is needed only if a Worker
        becomes free for the requirement during the pass.
        """
        self._ready[requirement] = None
        for wait in requirement.waiting:
            if routing_pass.is_eligible(wait):
                self._end_wait(wait.task)
                routing_pass.push(wait.rank, wait.task)


@dataclass(eq=False)
class _Pass:
    """The state of a routing pass.

    Attributes:
        requirements: The requirements whose first waiting Task is in the pass or is being examined.
        heap: The Tasks to examine, by rank. A wait marks the first waiting Task of a requirement.
        current_rank: Rank of the Task that is being examined.
        examined: SIDs of the examined Tasks.
        current_requirement: The requirement whose first waiting Task is being examined, if any.
    """

    requirements: set[Requirement] = field(default_factory=set)
    heap: list[tuple[Rank, int, Task, Wait | None]] = field(default_factory=list)
    current_rank: Rank = ()
    examined: set[str] = field(default_factory=set)
    current_requirement: Requirement | None = None
    _order: Iterator[int] = field(default_factory=itertools.count)

    def is_eligible(self, wait: Wait) -> bool:
        """Return whether the pass can still examine a waiting Task."""
        return wait.rank > self.current_rank and wait.task.sid not in self.examined

    def push(self, rank: Rank, task: Task, wait: Wait | None = None) -> None:
        """Add a Task; `wait` marks the first waiting Task of a requirement."""
        heappush(self.heap, (rank, next(self._order), task, wait))
