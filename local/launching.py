"""A whole stack as child processes, for the demo and the end-to-end tests."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local import processes, waiting
from local.processes import Process
from local.stack import Program, Stack, StackError

READY_SECONDS = 30


@dataclass
class Running:
    """Programs that run, by name."""

    folder: Path
    processes: dict[str, Process] = field(default_factory=dict)

    def start(self, program: Program, environ: Mapping[str, str], name: str = "") -> None:
        """Start one more, without waiting for it.

        Args:
            program: What to start.
            environ: All of its environment.
            name: What to call it, if not by the program's name. One of that name is replaced.
        """
        name = name or program.name
        self.processes[name] = processes.start(name, program.command, environ, self.folder)

    def wait_for(self, program: Program, name: str = "") -> None:
        """Wait until a started program does its work.

        Raises:
            StackError: It ended, or did not answer in time; shows what it printed.
        """
        process = self.processes[name or program.name]

        def ready() -> bool:
            if process.popen.poll() is not None:
                raise StackError(f"{process.name} ended before it answered:\n{process.output()}")
            return program.ready is None or program.ready()

        try:
            waiting.wait_for(process.name, ready, READY_SECONDS)
        except waiting.NotReadyError as error:
            raise StackError(f"{error} It printed:\n{process.output()}") from error

    def end(self) -> None:
        """End all of them."""
        for process in self.processes.values():
            process.end()


@contextlib.contextmanager
def running(
    stack: Stack, overrides: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[Running]:
    """Run a stack; on leaving, end everything that was started.

    Args:
        stack: What to run.
        overrides: By program, variables that only this one gets.

    Raises:
        StackError: A program did not come up.
    """
    overrides = overrides or {}
    with tempfile.TemporaryDirectory(prefix="taskrouter-callbacks-") as folder:
        started = Running(Path(folder))
        try:
            for program in stack.programs:
                started.start(program, {**stack.environ, **overrides.get(program.name, {})})
            for program in stack.programs:
                started.wait_for(program)
            yield started
        finally:
            started.end()
