"""`make run`: the stack under honcho, until Ctrl-C."""

import sys
from functools import partial
from typing import Any

from honcho.manager import Manager
from honcho.printer import Message, Printer
from honcho.process import Popen, Process

from local import lifeline
from local.processes import ROOT
from local.stack import Stack

GREETER = "ready"
# How honcho says that SIGINT or SIGTERM ended it: what was asked for, so no failure.
_ENDED_BY_SIGNAL = {130, 143}
# In the line that the app logs for a sweep; one that failed says so on a line of its own.
_IDLE_SWEEP = b'"due": 0,'


def run(stack: Stack) -> int:
    """Run the stack until a signal comes or a program ends; then end all of it.

    Returns:
        The exit code: 0 where a signal ended it, else not 0.
    """
    manager = _Manager(_Printer(sys.stdout))
    for program in stack.programs:
        manager.add_process(program.name, program.shell_command, env=stack.environ, cwd=ROOT)
    greet = f"exec {sys.executable} -m local greet"
    manager.add_process(GREETER, greet, env=stack.environ, cwd=ROOT)
    manager.loop()
    if manager.returncode in _ENDED_BY_SIGNAL:
        return 0
    return max(1, manager.returncode or 1)


class _Manager(Manager):  # type: ignore[misc]
    """Honcho's manager, whose processes end with it also where it is killed with SIGKILL."""

    def __init__(self, printer: Printer) -> None:
        super().__init__(printer)
        self._process_ctor = _Process


class _Process(Process):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._child_ctor = partial(Popen, preexec_fn=lifeline.end_with_parent)

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:  # noqa: FBT001, FBT002  # as in honcho
        lifeline.end_with_parent()
        super().run(events, ignore_signals)


class _Printer(Printer):  # type: ignore[misc]
    """Honcho's printer, but for two things.

    The greeter's commands are printed bare, so that they can be pasted; and they are not pushed
    out of sight by sweeps that had nothing to do.
    """

    def write(self, message: Message) -> None:
        if message.name == "sweep" and _IDLE_SWEEP in message.data:
            return
        if message.name == GREETER:
            text = message.data
            self.output.write(text.decode() if isinstance(text, bytes) else text)
            self.output.flush()
        else:
            super().write(message)
