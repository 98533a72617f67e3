"""A shell that runs commands one after another, and separate shells for programs."""

import contextlib
import os
import re
import selectors
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

COMMAND_SECONDS = 300
READY_SECONDS = 60
END_SECONDS = 20

_END = "--- the command has ended ---"


@dataclass
class Shell:
    """One bash process; variables and functions carry over from command to command.

    The shell has no terminal, so programs read the answers to their prompts from standard input.
    """

    folder: Path
    process: subprocess.Popen

    @classmethod
    def start(cls, folder, environ):
        command = ["bash", "--norc", "-e", "-u", "-o", "pipefail"]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        return cls(folder, process)

    def run(self, text, *, answers="", may_fail=False):
        """Run a command; return its exit code and output.

        If *may_fail* is false, a command that fails also ends the shell.
        """
        command_file = self._write("command", text)
        answers_file = self._write("answers", answers)
        guard = "&& status=0 || status=$?" if may_fail else "; status=$?"
        line = f'. "{command_file}" <"{answers_file}" {guard}; echo "{_END} $status"\n'
        self.process.stdin.write(line.encode())
        self.process.stdin.flush()
        output = self._read()
        text, end, status = output.rpartition(_END)
        if end:
            return int(status), text
        return self.process.wait(END_SECONDS), output

    def end(self):
        self.process.stdin.close()
        _signal(self.process, signal.SIGKILL)
        self.process.wait()
        self.process.stdout.close()

    def _write(self, name, text):
        # The checkout must contain only the project's files, so this file is stored next to the
        # checkout.
        file = self.folder.with_name(f"{self.folder.name}-{name}")
        file.write_text(text, encoding="utf-8")
        return file

    def _read(self):
        """Return the output up to the end of the command or of the shell."""
        output, deadline = b"", time.monotonic() + COMMAND_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not re.search(rf"{_END} \d+\n$".encode(), output):
                if not selector.select(deadline - time.monotonic()):
                    output += f"\nThe command did not end within {COMMAND_SECONDS} s.".encode()
                    _signal(self.process, signal.SIGKILL)
                    break
                if not (data := os.read(self.process.stdout.fileno(), 65_536)):
                    break
                output += data
        return output.decode(errors="replace")


@dataclass
class Programs:
    """Programs that run until Ctrl-C, each in a separate shell."""

    folder: Path
    environ: dict
    running: list = field(default_factory=list)

    def start(self, text, ready):
        """Start a program, and wait until its output matches the pattern *ready*."""
        log = self.folder.with_name(f"{self.folder.name}-{len(self.running)}.log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["bash", "--norc", "-c", text],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running.append((text, process, log))
        deadline = time.monotonic() + READY_SECONDS
        while not re.search(ready, log.read_text(errors="replace")):
            assert process.poll() is None, f"{text}: the program has ended.\n{log.read_text()}"
            assert time.monotonic() < deadline, (
                f"{text}: the program is not ready.\n{log.read_text()}"
            )
            time.sleep(0.1)

    def interrupt(self):
        """Interrupt all programs as Ctrl-C does, beginning with the program started last."""
        while self.running:
            text, process, log = self.running.pop()
            assert process.poll() is None, f"{text}: the program has ended.\n{log.read_text()}"
            _signal(process, signal.SIGINT)
            try:
                process.wait(END_SECONDS)
            finally:
                _signal(process, signal.SIGKILL)
                process.wait()

    def kill(self):
        for _, process, _ in self.running:
            _signal(process, signal.SIGKILL)
            process.wait()


def _signal(process, number):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
