"""`make demo`: shows the life cycle of Tasks on a separate stack."""

import sys
import time
from collections.abc import Mapping

from infra import signals
from infra.commands.token import create_token, read_api_key
from local import network, stack, supervisor
from local.demo import http_client, script
from local.demo.http_client import HttpClient
from local.demo.output import Presenter, StageFailedError

# With short times, the stage that waits for a timeout takes only seconds.
TIMES = {
    "RESERVATION_TIMEOUT_SECONDS": str(script.RESERVATION_SECONDS),
    "SWEEP_GRACE_SECONDS": "1",
    "SWEEP_EVERY_SECONDS": "1",
    # The stage that waits for a timeout sets a shorter timeout on the Workflow.
    "SIMULATOR_RESERVATION_TIMEOUT": "60",
}
DEFERRING_SETTINGS = {
    "ASSIGNMENT_INSTRUCTION": "defer",
    "RULES_FILE": "chalicelib/rules.toml",
    "CALLBACK_PATH_SECRETS": "open",
}
INSTRUCTING_SETTINGS = {"ASSIGNMENT_INSTRUCTION": "accept", "RULES_FILE": "local/voice-rules.toml"}
LOG_LINES = 20
"""Number of log lines to print per program after a failure."""


def run(environ: Mapping[str, str]) -> int:
    """Run the demo.

    Args:
        environ: The shell's environment, which usually takes precedence over the demo's settings.
            The demo overrides the ports (with free ports), ASSIGNMENT_INSTRUCTION and RULES_FILE
            (to show several instructions), and CALLBACK_PATH_SECRETS (to show the callbacks' URLs).

    Returns:
        The exit code: 0, or 1 if a stage failed. The failure is printed.

    Raises:
        StackError: A program did not start.
    """
    signals.raise_keyboard_interrupts()
    started = time.monotonic()
    *stack_ports, instructing_port = network.find_free_ports(len(stack.PORTS) + 1)
    ports = dict(zip(stack.PORTS, map(str, stack_ports), strict=True))
    local_stack = stack.describe(TIMES | dict(environ) | ports | DEFERRING_SETTINGS)
    print("Starting DynamoDB, the TaskRouter simulator, the API and the sweep ...", flush=True)
    with supervisor.running(local_stack) as programs:
        instructing_url = _start_instructing_api(programs, local_stack, instructing_port)
        try:
            _create_script(local_stack, instructing_url).run()
        except StageFailedError as failure:
            _print_logs(programs)
            print(f"\n{failure}", file=sys.stderr)
            return 1
    print(f"\nAll stages succeeded in {time.monotonic() - started:.0f} seconds.")
    return 0


def _start_instructing_api(
    programs: supervisor.RunningStack, local_stack: stack.Stack, port: int
) -> str:
    """Start an API that answers callbacks with instructions; return its base URL."""
    url = network.url(port)
    overrides = INSTRUCTING_SETTINGS | {"API_PORT": str(port), "PUBLIC_BASE_URL": url}
    instructing_stack = stack.describe(local_stack.environ | overrides)
    programs.start(instructing_stack.program("api"), instructing_stack.environ, "instructing-api")
    programs.wait_for(instructing_stack.program("api"), "instructing-api")
    return url


def _create_script(local_stack: stack.Stack, instructing_url: str) -> script.Script:
    identifiers = http_client.fetch_identifiers(local_stack.simulator_url)
    token = create_token(
        local_stack.settings, read_api_key(local_stack.settings), role="supervisor", hours=1
    )
    workspace = f"{local_stack.simulator_url}/v1/Workspaces/{identifiers['workspace_sid']}"
    account = (identifiers["account_sid"], identifiers["auth_token"])
    return script.Script(
        presenter=Presenter(lambda line: print(line, flush=True)),
        app=HttpClient("app", local_stack.api_url, token=token),
        taskrouter=HttpClient("TaskRouter", workspace, account=account),
        simulator=HttpClient("simulator", f"{local_stack.simulator_url}/simulator", json=True),
        app_url=local_stack.api_url,
        instructing_url=instructing_url,
        identifiers=identifiers,
    )


def _print_logs(programs: supervisor.RunningStack) -> None:
    print("\nThe last log lines of each program:")
    for process in programs.processes.values():
        for line in process.output().splitlines()[-LOG_LINES:]:
            print(f"  {process.name:<16}| {line}")
