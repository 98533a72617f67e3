"""Programs as child processes, which never outlive the one that started them."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local import lifeline

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
            preexec_fn=lifeline.end_with_parent,  # noqa: PLW1509
        )
    return Process(name, popen, log)
