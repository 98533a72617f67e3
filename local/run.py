"""`make run`: runs the stack until Ctrl-C and prints example commands."""

import contextlib
import os
import re
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial

from infra import signals
from local import supervisor
from local.stack import Stack, api_command, hide_secrets

TOKEN_SECONDS = 8 * 3_600
_NAME_WIDTH = 10
_IDLE_SWEEP = re.compile(r'"level": "INFO".* "due": 0,')
"""Matches the line that the app logs for a successful sweep without due Reservations."""


GREETING = """
The stack is running. Press Ctrl-C to stop it.

  API         {api}
  TaskRouter  {simulator}   (the simulator; GET /simulator lists its SIDs and keys)
  Portal      {simulator}/simulator/portal   (the simulator's replacement for the Twilio Console)
  DynamoDB    {dynamodb}

To sign in to the agent console, open one of these links:

  Alice       {api}/console#token={worker_token}
  Supervisor  {api}/console#token={token}

The commands below use the supervisor's token, which is valid for {lifetime}, and the simulator's account:

  TOKEN={token}
  ACCOUNT={account}

1. Create a Task. No Worker who speaks Spanish is available, so the Task is pending:

  TASK=$(curl -sw '\\n' -X POST -H "Authorization: Bearer $TOKEN" {api}/create-task | tee /dev/stderr | grep -o 'WT[0-9a-f]\\{{32\\}}' | head -n 1)

2. Set Alice to Idle. TaskRouter reserves her and posts to /assignment_callback:

  curl -sw '\\n' -u $ACCOUNT -d ActivitySid={idle} {workspace}/Workers/{alice}

3. Show the Reservation, with all parameters of the callback:

  sleep 1
  curl -sw '\\n' -H "Authorization: Bearer $TOKEN" '{api}/reservations?status=pending'

4. Accept the Reservation. If the Task has several, add &reservation_sid=WR... to select one:

  curl -sw '\\n' -H "Authorization: Bearer $TOKEN" "{api}/accept_reservation?task_sid=$TASK"

5. Check in TaskRouter that the Task is assigned and that Alice is Busy:

  curl -sw '\\n' -u $ACCOUNT {workspace}/Tasks/$TASK
  curl -sw '\\n' -u $ACCOUNT {workspace}/Workers/{alice}

6. Complete the Task and set Alice to Offline, so that you can start again at step 1:

  curl -sw '\\n' -u $ACCOUNT -d AssignmentStatus=completed {workspace}/Tasks/$TASK
  curl -sw '\\n' -u $ACCOUNT -d ActivitySid={offline} {workspace}/Workers/{alice}

To have Reservations accepted without step 4, start the stack with: ASSIGNMENT_INSTRUCTION=accept make run

See also docs/quickstart.md.
"""  # noqa: E501  # a command to paste must be a single line

SERVICES_GREETING = """
The services are running. Press Ctrl-C to stop them.

  TaskRouter  {simulator}   (the simulator; GET /simulator lists its SIDs and keys)
  Portal      {simulator}/simulator/portal   (the simulator's replacement for the Twilio Console)
  DynamoDB    {dynamodb}

The simulator posts its callbacks to {callbacks}. Start the API in another terminal:

  {command}

See also docs/quickstart.md.
"""


def run(stack: Stack, greeting: Callable[[Stack], str]) -> int:
    """Run the stack until a signal arrives, the output is closed or a program ends.

    All programs are stopped before this function returns.

    Args:
        stack: The stack to run.
        greeting: Returns the text to print once all programs are ready.

    Returns:
        The exit code: 0 after a signal or if the output is closed, otherwise nonzero.

    Raises:
        StackError: A program did not start.
    """
    # Needed because a shell script starts its background commands with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signals.raise_keyboard_interrupts()
    threading.Thread(target=_interrupt_if_output_closes, daemon=True).start()
    try:
        with supervisor.running(stack, print_line=_print_line) as programs:
            _write(greeting(stack))
            ended = programs.wait_for_exit()
    except KeyboardInterrupt:
        return 0
    return max(1, ended.popen.returncode)


def _interrupt_if_output_closes() -> None:
    """Interrupt this process when the reader of its output exits, as in `make run | head`.

    Otherwise, the process would detect the closed output only when it writes the next line, which
    may be hours later.
    """
    output = select.poll()
    output.register(sys.stdout, 0)  # POLLERR and POLLHUP are always reported
    ((_, event),) = output.poll()
    if event & (select.POLLERR | select.POLLHUP):
        # Python would otherwise fail to write its buffer at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        os.kill(os.getpid(), signal.SIGTERM)


def _print_line(name: str, line: str) -> None:
    """Print a line. Lines of idle sweeps are omitted, to keep the greeting visible."""
    if name != "sweep" or not _IDLE_SWEEP.search(line):
        _write(f"{time.strftime('%H:%M:%S')} {name:<{_NAME_WIDTH}}| {line}\n")


def _write(text: str) -> None:
    # If the output is closed, `_interrupt_if_output_closes` ends the stack.
    with contextlib.suppress(BrokenPipeError):
        # A single write keeps lines from several threads from interleaving.
        sys.stdout.write(text)
        sys.stdout.flush()


def services_greeting(stack: Stack) -> str:
    """Return the services' addresses and the command that starts the API."""
    return SERVICES_GREETING.format(
        simulator=stack.simulator_url,
        dynamodb=stack.dynamodb_url,
        callbacks=hide_secrets(stack.environ["SIMULATOR_CALLBACK_BASE_URL"]),
        command=api_command(stack),
    )


def greeting(stack: Stack) -> str:
    """Return the addresses of a running stack and commands to try."""
    # Import these modules only now, so that their SDKs do not delay the start of the programs.
    from infra.commands.token import create_token, read_api_key  # noqa: PLC0415
    from local.demo import http_client  # noqa: PLC0415

    simulator = http_client.fetch_identifiers(stack.simulator_url)
    seconds = min(TOKEN_SECONDS, stack.settings.max_token_seconds)
    create = partial(
        create_token, stack.settings, read_api_key(stack.settings), hours=seconds / 3_600
    )
    return GREETING.format(
        api=stack.api_url,
        simulator=stack.simulator_url,
        dynamodb=stack.dynamodb_url,
        lifetime=_duration(seconds),
        token=create(role="supervisor"),
        worker_token=create(role="worker", worker_sid=simulator["workers"]["Alice"]),
        account=f"{simulator['account_sid']}:{simulator['auth_token']}",
        idle=simulator["activities"]["Idle"],
        offline=simulator["activities"]["Offline"],
        alice=simulator["workers"]["Alice"],
        workspace=f"{stack.simulator_url}/v1/Workspaces/{simulator['workspace_sid']}",
    )


def _duration(seconds: int) -> str:
    """Return a duration as a whole number of the largest possible unit."""
    units = {"hour": 3_600, "minute": 60, "second": 1}
    unit = next(unit for unit, length in units.items() if seconds % length == 0)
    number = seconds // units[unit]
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"
