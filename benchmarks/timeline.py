"""Runs concurrent processes in simulated time."""

from collections.abc import Callable, Generator, Iterable, Sequence
from heapq import heappop, heappush
from itertools import count
from typing import Any

Process = Generator["float | Sequence[Process]", None, None]
"""A process yields a time to wait, in ms, or other processes to wait for."""

Subroutine = Generator["float | Sequence[Process]", None, bool]
"""A part of a process that returns whether it succeeded."""


class Timeline:
    """A clock that advances to the next time at which a process resumes.

    The class implements `chalicelib.usecases.ports.Clock`, except that only processes can wait.
    """

    def __init__(self) -> None:
        self._now = 0.0
        self._waiting: list[tuple[float, int, Process, Callable[[], None]]] = []
        self._numbers = count()

    def now_ms(self) -> int:
        """Return the simulated time, in ms."""
        return int(self._now)

    def sleep(self, seconds: float) -> None:
        """Not supported: processes must yield instead of sleeping."""
        raise NotImplementedError("Processes must yield the wait instead of calling sleep().")

    def start(self, process: Process, on_end: Callable[[], None] = lambda: None) -> None:
        """Run a process until its next wait. Call *on_end* when the process ends."""
        wait: Any = next(process, None)
        if wait is None:
            on_end()
        elif isinstance(wait, (int, float)):
            self._wait(wait, process, on_end)
        else:
            self._join(wait, lambda: self.start(process, on_end))

    def _wait(self, duration_ms: float, process: Process, on_end: Callable[[], None]) -> None:
        heappush(self._waiting, (self._now + duration_ms, next(self._numbers), process, on_end))

    def _join(self, processes: Sequence[Process], on_end: Callable[[], None]) -> None:
        """Run processes concurrently; call *on_end* when all have ended."""
        running = len(processes)

        def count_end() -> None:
            nonlocal running
            running -= 1
            if not running:
                on_end()

        for process in processes:
            self.start(process, count_end)

    def run(self, until: int) -> None:
        """Run the processes up to a time, in ms."""
        while self._waiting and self._waiting[0][0] <= until:
            self._now, _, process, on_end = heappop(self._waiting)
            self.start(process, on_end)
        self._now = until


def run_concurrently(processes: Iterable[Process], concurrency: int) -> Process:
    """Run at most *concurrency* processes at a time, and wait until all have ended."""
    remaining = iter(processes)

    def work() -> Process:
        for process in remaining:
            yield from process

    yield [work() for _ in range(concurrency)]
