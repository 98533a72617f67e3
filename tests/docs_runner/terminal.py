"""Runs a command in a pseudo-terminal, answers its questions and returns the transcript."""

import contextlib
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import time

COMMAND_SECONDS = 300
CTRL_C, CTRL_D = "\x03", "\x04"


def run(command, *, folder, environ, answers=()):
    """Run a command in a new session with a controlling terminal.

    Args:
        command: The command, in bash syntax.
        folder: The working directory.
        environ: The environment variables.
        answers: Pairs of a pattern and an answer, in the order of the questions. The answer is
            typed as soon as the output after the previous answer matches the pattern.

    Returns:
        The exit code, and everything that was written to the terminal.
    """
    controller, terminal = pty.openpty()
    name = shlex.quote(os.ttyname(terminal))
    # The first terminal that a session opens becomes its controlling terminal.
    process = subprocess.Popen(
        ["bash", "--norc", "-c", f"exec <{name} >{name} 2>&1\n{command}"],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        return _converse(process, controller, list(answers))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(controller)
        os.close(terminal)


def _converse(process, controller, answers):
    output, answered, deadline = b"", 0, time.monotonic() + COMMAND_SECONDS
    while True:
        ended = process.poll() is not None
        while select.select([controller], [], [], 0 if ended else 0.1)[0]:
            output += os.read(controller, 65_536)
        text = output.decode(errors="replace").replace("\r\n", "\n")
        if ended:
            assert not answers, f"No question matched {answers[0][0]!r}:\n{text}"
            return process.returncode, text
        if answers and (match := re.search(answers[0][0], text[answered:])):
            answered += match.end()
            answer = answers.pop(0)[1]
            os.write(controller, answer.encode() + (b"" if answer in (CTRL_C, CTRL_D) else b"\n"))
        assert time.monotonic() < deadline, f"The command did not end:\n{text}"
