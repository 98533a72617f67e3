"""Programs as child processes, which never outlive the one that started them."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local import network
from local.stack import Program, Stack, StackError

ROOT = Path(__file__).parent.parent
GRACE_SECONDS = 5


@dataclass(frozen=True)
class Process:
    """A program that was started, in a process group of its own."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    def output(self) -> str:
        """What it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._signal(signal.SIGKILL)
        self.popen.wait()

    def end(self) -> None:
        """End it; kindly first."""
        self._signal(signal.SIGTERM)
        try:
            self.popen.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        # Its group outlives it where it has left children.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)


def start(name: str, command: list[str], environ: Mapping[str, str], folder: Path) -> Process:
    """Start a program.

    Args:
        name: What to call it, and its log in the folder.
        command: Program and arguments; runs in the checkout.
        environ: All of its environment.
        folder: Where its output goes.
    """
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        popen = subprocess.Popen(
            command,
            cwd=ROOT,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            # Nothing but one system call, on an object that exists before the fork.
            preexec_fn=end_with_parent,  # noqa: PLW1509
        )
    return Process(name, popen, log)


_PR_SET_PDEATHSIG = 1
# Looked up before any fork, where nothing but the call itself is safe.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that started it ends. Linux only."""
    if _LIBC:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


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
        self.processes[name] = start(name, program.command, environ, self.folder)

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
            network.wait_for(process.name, ready, READY_SECONDS)
        except network.NotReadyError as error:
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
