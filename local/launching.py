"""A whole stack as child processes, for the demo and the end-to-end tests."""

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from local import processes, waiting
from local.processes import Process
from local.stack import Program, Stack, StackError


def wait_until_ready(process: Process, program: Program, timeout: float = 30) -> None:
    """Wait until a started program does its work.

    Args:
        process: What was started.
        program: How to ask it.
        timeout: Seconds.

    Raises:
        StackError: It ended, or did not answer in time; shows what it printed.
    """

    def ready() -> bool:
        if process.popen.poll() is not None:
            raise StackError(f"{process.name} ended before it answered:\n{process.output()}")
        return program.ready is None or program.ready()

    try:
        waiting.wait_for(process.name, ready, timeout)
    except waiting.NotReadyError as error:
        raise StackError(f"{error} It printed:\n{process.output()}") from error


@contextlib.contextmanager
def running(
    stack: Stack, overrides: Mapping[str, Mapping[str, str]] | None = None
) -> Iterator[dict[str, Process]]:
    """Run a stack; on leaving, end everything that was started.

    Args:
        stack: What to run.
        overrides: By program, variables that only this one gets.

    Yields:
        The processes by the program's name. What is added to it is ended as well.

    Raises:
        StackError: A program did not come up.
    """
    started: dict[str, Process] = {}
    with tempfile.TemporaryDirectory(prefix="taskrouter-callbacks-") as folder:
        try:
            for program in stack.programs:
                environ = stack.environ | dict((overrides or {}).get(program.name, {}))
                process = processes.start(program.name, program.command, environ, Path(folder))
                started[program.name] = process
            for program in stack.programs:
                wait_until_ready(started[program.name], program)
            yield started
        finally:
            for process in started.values():
                process.end()
