"""`make demo`: a stack on free ports, and the life cycle walked on it."""

import signal
import sys
import time
from collections.abc import Mapping

from infra.commands.token import create_token, read_api_key
from local import network, stack, supervisor
from local.demo import http_client, script
from local.demo.http_client import Caller
from local.demo.output import Narrator, StageFailedError

# Short, so that the stage that waits for them does not take long.
TIMES = {
    "RESERVATION_TIMEOUT_SECONDS": str(script.RESERVATION_SECONDS),
    "SWEEP_GRACE_SECONDS": "1",
    "SWEEP_EVERY_SECONDS": "1",
    # Of the stages that decide; the one that waits sets its own.
    "SIMULATOR_RESERVATION_TIMEOUT": "60",
}
DEFERRING = {"ASSIGNMENT_INSTRUCTION": "defer", "RULES_FILE": "chalicelib/rules.toml"}
INSTRUCTING = {"ASSIGNMENT_INSTRUCTION": "accept", "RULES_FILE": "local/voice-rules.toml"}
SHOWN_LOG_LINES = 20


def run(environ: Mapping[str, str]) -> int:
    """Walk the life cycle.

    Args:
        environ: The shell's; what it sets wins, but for the ports, which are free ones, and
            ASSIGNMENT_INSTRUCTION and RULES_FILE: answers of several kinds are shown.

    Returns:
        The exit code: 0, or 1 where a stage went otherwise, which is printed.

    Raises:
        StackError: Something did not start.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    *numbers, instructing_port = network.find_free(len(stack.DEFAULT_PORTS) + 1)
    own = dict(zip(stack.DEFAULT_PORTS, map(str, numbers), strict=True))
    described = stack.describe(TIMES | dict(environ) | own | DEFERRING)
    print("Starting a DynamoDB, the TaskRouter simulator, the API and the sweep ...", flush=True)
    with supervisor.running(described) as running:
        instructing_url = _start_instructing_api(running, described, instructing_port)
        try:
            _story(described, instructing_url).walk()
        except StageFailedError as failure:
            _print_logs(running)
            print(f"\n{failure}", file=sys.stderr)
            return 1
    print(f"\nThe whole life cycle was walked in {time.monotonic() - started:.0f} seconds.")
    return 0


def _start_instructing_api(running: supervisor.Running, described: stack.Stack, port: int) -> str:
    """A second API on the same tables, which answers with instructions; returns its address."""
    url = f"http://{network.LOOPBACK}:{port}"
    own = INSTRUCTING | {"API_PORT": str(port), "PUBLIC_BASE_URL": url}
    second = stack.describe(described.environ | own)
    running.start(second.program("api"), second.environ, "instructing-api")
    running.wait_for(second.program("api"), "instructing-api")
    return url


def _story(described: stack.Stack, instructing_url: str) -> script.Story:
    names = http_client.names(described.simulator_url)
    token = create_token(
        described.settings,
        read_api_key(described.settings),
        role="supervisor",
        hours=1,
    )
    workspace = f"{described.simulator_url}/v1/Workspaces/{names['workspace_sid']}"
    account = (names["account_sid"], names["auth_token"])
    return script.Story(
        tell=Narrator(lambda line: print(line, flush=True)),
        app=Caller("app", described.api_url, token=token),
        taskrouter=Caller("TaskRouter", workspace, account=account),
        simulator=Caller("simulator", f"{described.simulator_url}/simulator", json=True),
        app_url=described.api_url,
        instructing_url=instructing_url,
        names=names,
    )


def _print_logs(running: supervisor.Running) -> None:
    print("\nWhat the programs printed last:")
    for process in running.processes.values():
        for line in process.output().splitlines()[-SHOWN_LOG_LINES:]:
            print(f"  {process.name:<14}| {line}")
