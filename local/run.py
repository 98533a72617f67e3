"""`make run`: the stack under honcho, until Ctrl-C."""

import sys
from functools import partial
from typing import Any

from honcho.manager import Manager
from honcho.printer import Message, Printer
from honcho.process import Popen, Process

from infra.commands.token import create_token, read_api_key
from local import supervisor
from local.demo import http_client
from local.stack import Stack
from local.supervisor import ROOT

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
        self._child_ctor = partial(Popen, preexec_fn=supervisor.end_with_parent)

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:  # noqa: FBT001, FBT002  # as in honcho
        supervisor.end_with_parent()
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


TEMPLATE = """
Everything answers. Ctrl-C ends it.

  API         {api}
  TaskRouter  {simulator}   (the simulator; GET /simulator tells its SIDs and keys)
  Portal      {simulator}/simulator/portal   (what Twilio's Console shows and does)
  DynamoDB    {dynamodb}

A supervisor's token for {hours} hours, and the simulator's account, for the commands below:

  TOKEN={token}
  ACCOUNT={account}

1. Create a Task. Nobody who speaks Spanish is available, so it is pending:

  TASK=$(curl -sw '\\n' -X POST -H "Authorization: Bearer $TOKEN" {api}/create-task | tee /dev/stderr | grep -o 'WT[0-9a-f]\\{{32\\}}' | head -n 1)

2. Alice turns Idle. TaskRouter reserves her and calls our /assignment_callback back:

  curl -sw '\\n' -u $ACCOUNT -d ActivitySid={idle} {workspace}/Workers/{alice}

3. The Reservation, with every parameter of the callback:

  sleep 1
  curl -sw '\\n' -H "Authorization: Bearer $TOKEN" '{api}/reservations?status=pending'

4. Accept it. Add &reservation_sid=WR... to name one; the Task has only one here:

  curl -sw '\\n' -H "Authorization: Bearer $TOKEN" "{api}/accept_reservation?task_sid=$TASK"

5. At TaskRouter the Task is assigned, and Alice is Busy:

  curl -sw '\\n' -u $ACCOUNT {workspace}/Tasks/$TASK
  curl -sw '\\n' -u $ACCOUNT {workspace}/Workers/{alice}

6. The work is done; after this, begin again at 1:

  curl -sw '\\n' -u $ACCOUNT -d AssignmentStatus=completed {workspace}/Tasks/$TASK
  curl -sw '\\n' -u $ACCOUNT -d ActivitySid={offline} {workspace}/Workers/{alice}

With ASSIGNMENT_INSTRUCTION=accept make run, 1 and 2 are enough. More in docs/quickstart.md.
"""  # noqa: E501  # a command that is pasted is one line

TOKEN_HOURS = 8


def text(stack: Stack) -> str:
    """The whole message, for a stack that answers."""
    simulator = http_client.names(stack.simulator_url)
    token = create_token(
        stack.settings,
        read_api_key(stack.settings),
        role="supervisor",
        hours=TOKEN_HOURS,
    )
    return TEMPLATE.format(
        api=stack.api_url,
        simulator=stack.simulator_url,
        dynamodb=stack.dynamodb_url,
        hours=TOKEN_HOURS,
        token=token,
        account=f"{simulator['account_sid']}:{simulator['auth_token']}",
        idle=simulator["activities"]["Idle"],
        offline=simulator["activities"]["Offline"],
        alice=simulator["workers"]["Alice"],
        workspace=f"{stack.simulator_url}/v1/Workspaces/{simulator['workspace_sid']}",
    )


def warning(names: list[str]) -> str:
    """Says that variables of the shell lead the app elsewhere, and how to run without them."""
    without = " ".join(f"-u {name}" for name in names)
    return (
        f"Warning: the shell sets {', '.join(names)}, and the shell wins. The simulator and the "
        f"local DynamoDB know nothing of these values, so calls between them and the app will be "
        f"refused or go elsewhere. To run without them:\n\n  env {without} make run\n"
    )
