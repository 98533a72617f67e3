"""Runs the stack's programs as child processes.

On Linux, the programs never outlive this process.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from local import network
from local.stack import STARTED_TOGETHER, Program, Stack, StackError

ROOT = Path(__file__).parent.parent
GRACE_SECONDS = 5
"""Seconds between SIGTERM and SIGKILL."""
READY_SECONDS = 30
EXIT_POLL_SECONDS = 0.2

PrintLine = Callable[[str, str], None]
"""Prints one line of output, given the program's name and the line."""

_PR_SET_PDEATHSIG = 1
# Loaded in advance, because only the system call itself is safe between fork and exec.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Process:
    """A started program, in its own process group.

    Attributes:
        name: The name used in messages.
        popen: The child process.
        log: The file that receives the program's output; None if the output is printed instead.
    """

    name: str
    popen: subprocess.Popen[bytes]
    log: Path | None

    def output(self) -> str:
        """Return the output logged so far; "" if the output is printed instead."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log else ""

    def kill(self) -> None:
        """Send SIGKILL, as in a crash, and wait until the program has ended."""
        self.signal(signal.SIGKILL)
        self.popen.wait()

    def end(self) -> None:
        """Send SIGTERM, then SIGKILL if the program does not end within the grace period."""
        self.signal(signal.SIGTERM)
        try:
            self.popen.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process group, which can outlive the program itself."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, number)


def start(name: str, command: list[str], environ: Mapping[str, str], folder: Path) -> Process:
    """Start a program that writes its output to a log file.

    Args:
        name: Name of the process and of its log file.
        command: Program and arguments, run in the project's root folder.
        environ: The complete environment.
        folder: Folder for the log file.
    """
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        return Process(name, _spawn(command, environ, output), log)


def _spawn(
    command: list[str], environ: Mapping[str, str], output: IO[bytes] | int
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        # Safe after a fork: a single system call, with a library loaded before the fork.
        preexec_fn=_end_with_parent,  # noqa: PLW1509
    )


def _end_with_parent() -> None:
    """Make Linux kill this process when the thread that started it ends."""
    if _LIBC:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@dataclass
class RunningStack:
    """The started programs of a stack.

    Attributes:
        folder: Folder for log files.
        print_line: Prints the programs' output; None writes the output to log files instead.
        processes: The processes by name.
    """

    folder: Path
    print_line: PrintLine | None = None
    processes: dict[str, Process] = field(default_factory=dict)
    _readers: list[threading.Thread] = field(default_factory=list)

    def start(self, program: Program, environ: Mapping[str, str], name: str = "") -> None:
        """Start a program without waiting until it is ready.

        Args:
            program: The program to start.
            environ: Its complete environment.
            name: Name of the process, by default the program's name. The process replaces an
                earlier entry with this name in `processes`.
        """
        name = name or program.name
        if self.print_line is None:
            self.processes[name] = start(name, program.command, environ, self.folder)
            return
        popen = _spawn(program.command, environ, subprocess.PIPE)
        self.processes[name] = Process(name, popen, log=None)
        reader = threading.Thread(target=_print_output, args=(name, popen, self.print_line))
        reader.daemon = True
        reader.start()
        self._readers.append(reader)

    def wait_for(self, program: Program, name: str = "") -> None:
        """Wait until a started program is ready.

        Raises:
            StackError: The program ended or was not ready in time. The message includes the
                program's output if the output was logged to a file.
        """
        process = self.processes[name or program.name]

        def is_ready() -> bool:
            if process.popen.poll() is not None:
                message = f"{process.name} ended during startup.\n{process.output()}"
                raise StackError(message.rstrip())
            return program.is_ready is None or program.is_ready()

        try:
            network.wait_for(process.name, is_ready, READY_SECONDS)
        except network.NotReadyError as error:
            raise StackError(f"{error}\n{process.output()}".rstrip()) from error

    def wait_for_exit(self) -> Process:
        """Wait until any program ends, and return its process."""
        while True:
            for process in self.processes.values():
                if process.popen.poll() is not None:
                    return process
            time.sleep(EXIT_POLL_SECONDS)

    def end(self) -> None:
        """End all programs."""
        for process in self.processes.values():
            process.signal(signal.SIGTERM)
        for process in self.processes.values():
            process.end()
        for reader in self._readers:
            # The timeout is needed because a program's children can keep the pipe open.
            reader.join(timeout=1)


def _print_output(name: str, popen: subprocess.Popen[bytes], print_line: PrintLine) -> None:
    print_line("system", f"{name} started (pid={popen.pid})")
    for line in popen.stdout or ():
        print_line(name, line.decode(errors="replace").rstrip("\n"))
    print_line("system", f"{name} stopped (rc={popen.wait()})")


@contextlib.contextmanager
def running(
    stack: Stack,
    overrides: Mapping[str, Mapping[str, str]] | None = None,
    print_line: PrintLine | None = None,
) -> Iterator[RunningStack]:
    """Run a stack for the duration of a `with` block.

    Args:
        stack: The stack to run.
        overrides: Additional variables for individual programs, by program name.
        print_line: Prints the programs' output; None writes the output to log files instead.

    Raises:
        StackError: A program ended during startup or was not ready in time.
    """
    overrides = overrides or {}
    with tempfile.TemporaryDirectory(prefix="taskrouter-callbacks-") as folder:
        programs = RunningStack(Path(folder), print_line)
        try:
            environ = {**stack.environ, STARTED_TOGETHER: "true"}
            servers = [program for program in stack.programs if program.is_ready]
            # The servers are ready sooner if no other program starts at the same time.
            for group in (servers, [p for p in stack.programs if p not in servers]):
                for program in group:
                    programs.start(program, {**environ, **overrides.get(program.name, {})})
                for program in group:
                    programs.wait_for(program)
            yield programs
        finally:
            programs.end()
