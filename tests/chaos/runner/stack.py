"""The real stack with short timeouts, proxies and process faults."""

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from chalicelib import config
from local import network, stack, supervisor
from local.supervisor import RunningStack
from tests.chaos.runner.plan import Connection, ProcessFault
from tests.chaos.runner.proxy import Proxy, Request, Response

RESERVATION_TIMEOUT_SECONDS = 5
LEASE_SECONDS = 4
"""Must exceed the longest delay before a request takes effect."""
GRACE_SECONDS = 1

_SUSPENDED_SECONDS = 1.5
_DOWN_SECONDS = 1.5
_KILLED_SECONDS = 0.3

_ONE_DAY = "86400"
_RULES = """
[[rule]]
name = "Ring the agent for some Tasks"
when = "task.rings"
instruction = "call"
to = "client:agent"
from = "+15556667777"
url = "https://example.test/answered"
"""
_UPSTREAM_PORTS = {
    Connection.CALLBACKS: "API_PORT",
    Connection.REST: "SIMULATOR_PORT",
    Connection.DATABASE: "DYNAMODB_PORT",
}
_EVENT_TYPES = (
    "reservation.created",
    "reservation.accepted",
    "reservation.rejected",
    "reservation.timeout",
    "reservation.canceled",
    "reservation.rescinded",
    "reservation.wrapup",
    "reservation.completed",
    "task.created",
    "task.canceled",
)


def _environ(folder: Path, instruction: str) -> dict[str, str]:
    workspace_file, rules_file = folder / "workspace.json", folder / "rules.toml"
    ports = dict(zip(stack.PORTS, map(str, network.find_free_ports(3)), strict=True))
    inherited = {
        name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ
    }
    return {
        **inherited,
        **ports,
        **stack.OPTIONAL_CALLBACKS,
        "ASSIGNMENT_INSTRUCTION": instruction,
        "RESERVATION_TIMEOUT_SECONDS": str(RESERVATION_TIMEOUT_SECONDS),
        "CLAIM_LEASE_SECONDS": str(LEASE_SECONDS),
        "SWEEP_GRACE_SECONDS": str(GRACE_SECONDS),
        "SWEEP_EVERY_SECONDS": "1",
        "SIMULATOR_WORKSPACE_FILE": str(workspace_file),
        "RULES_FILE": str(rules_file),
        "SIMULATOR_LOG_SIZE": "1000000",
        # Keep closed Tasks for the final comparison.
        "SIMULATOR_CLOSED_TASK_SECONDS": _ONE_DAY,
    }


def _workspace(workers: int) -> dict[str, object]:
    """Describe a minimal Workspace with the given number of idle Workers."""
    return {
        "friendly_name": "Chaos",
        "multi_task_enabled": False,
        "activities": [
            {"friendly_name": "Offline", "available": False},
            {"friendly_name": "Idle", "available": True},
            {"friendly_name": "Busy", "available": False},
            {"friendly_name": "Reserved", "available": False},
        ],
        "workers": [
            {"friendly_name": f"Worker {number}", "activity": "Idle"}
            for number in range(1, workers + 1)
        ],
        "task_queues": [{"friendly_name": "All", "target_workers": "1==1"}],
        "workflows": [
            {
                "friendly_name": "All",
                "configuration": {"task_routing": {"default_filter": {"queue": "All"}}},
            }
        ],
        "events_filter": ",".join(_EVENT_TYPES),
    }


@dataclass
class ChaosStack:
    """A running stack with a proxy on each connection.

    Attributes:
        definition: The stack's programs and addresses. The addresses bypass the proxies, except
            the address for callbacks.
        proxies: The proxies by connection.
    """

    definition: stack.Stack
    proxies: Mapping[Connection, Proxy]
    _programs: RunningStack
    _process_names: dict[str, str] = field(default_factory=lambda: {"api": "api", "sweep": "sweep"})
    _restarts: int = 0

    @property
    def settings(self) -> config.Settings:
        """The app's settings, with the direct addresses of TaskRouter and DynamoDB."""
        return self.definition.settings

    def kill(self, program_name: str) -> None:
        """Kill a program, as in a crash."""
        self._programs.processes[self._process_names[program_name]].kill()

    async def restart(self, program_name: str) -> None:
        """Start a killed program and wait until it is ready."""
        self._restarts += 1
        process_name = f"{program_name}-{self._restarts}"
        self._process_names[program_name] = process_name
        program = self.definition.program(program_name)
        environ = {**self.definition.environ, **_proxy_addresses(self.proxies)}
        self._programs.start(program, environ, process_name)
        await asyncio.to_thread(self._programs.wait_for, program, process_name)

    @contextmanager
    def suspended(self, program_name: str) -> Iterator[None]:
        """Suspend a program inside a `with` block."""
        process = self._programs.processes[self._process_names[program_name]]
        process.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.signal(signal.SIGCONT)

    def output(self, program_name: str) -> str:
        """Return the output of a program, including the output of its killed processes."""
        return "".join(
            process.output()
            for process_name, process in self._programs.processes.items()
            if process_name.partition("-")[0] == program_name
        )


class ProcessFaultInjector:
    """Injects process faults into a stack, one at a time.

    Attributes:
        fault_counts: Number of times each fault has been injected.
    """

    def __init__(self, chaos_stack: ChaosStack) -> None:
        self.fault_counts: Counter[ProcessFault] = Counter()
        self._stack = chaos_stack
        self._lock = asyncio.Lock()

    async def inject(self, fault: ProcessFault) -> None:
        """Inject a fault and recover from it, unless another fault is in progress."""
        if self._lock.locked():
            return
        async with self._lock:
            self.fault_counts[fault] += 1
            match fault:
                case ProcessFault.API_KILLED:
                    await self._kill("api")
                case ProcessFault.SWEEP_KILLED:
                    await self._kill("sweep")
                case ProcessFault.API_SUSPENDED:
                    with self._stack.suspended("api"):
                        await asyncio.sleep(_SUSPENDED_SECONDS)
                case ProcessFault.DATABASE_DOWN:
                    await self._take_down(Connection.DATABASE)
                case ProcessFault.TASKROUTER_DOWN:
                    await self._take_down(Connection.REST)
                case ProcessFault.TASKROUTER_REFUSES:
                    async with self._stack.proxies[Connection.REST].refusing_connections():
                        await asyncio.sleep(_DOWN_SECONDS)
                case ProcessFault.TASKROUTER_RESETS:
                    async with self._stack.proxies[Connection.REST].resetting_connections():
                        await asyncio.sleep(_DOWN_SECONDS)

    async def wait_until_over(self) -> None:
        """Wait until no fault is in progress."""
        async with self._lock:
            pass

    async def _kill(self, program_name: str) -> None:
        self._stack.kill(program_name)
        await asyncio.sleep(_KILLED_SECONDS)
        await self._stack.restart(program_name)

    async def _take_down(self, connection: Connection) -> None:
        proxy = self._stack.proxies[connection]
        proxy.is_down = True
        try:
            await asyncio.sleep(_DOWN_SECONDS)
        finally:
            proxy.is_down = False


def _proxy_addresses(proxies: Mapping[Connection, Proxy]) -> dict[str, str]:
    return {
        "TWILIO_TASKROUTER_URL": proxies[Connection.REST].url,
        "AWS_ENDPOINT_URL_DYNAMODB": proxies[Connection.DATABASE].url,
    }


@asynccontextmanager
async def run_stack(
    workers: int,
    instruction: str,
    *,
    on_callback: Callable[[Request], None],
    on_callback_response: Callable[[Request, Response], None],
) -> AsyncIterator[ChaosStack]:
    """Run a stack inside an `async with` block.

    Args:
        workers: Number of Workers.
        instruction: The app's answer to callbacks that match no rule: "defer" or "accept".
        on_callback: Called with each callback that TaskRouter sends.
        on_callback_response: Called with the app's response to each callback.

    Raises:
        StackError: A program did not start.
    """
    with TemporaryDirectory(prefix="taskrouter-callbacks-") as folder:
        workspace = json.dumps(_workspace(workers))
        (Path(folder) / "workspace.json").write_text(workspace, encoding="utf-8")
        (Path(folder) / "rules.toml").write_text(_RULES, encoding="utf-8")
        proxies = {
            Connection.CALLBACKS: Proxy(on_request=on_callback, on_response=on_callback_response),
            Connection.REST: Proxy(),
            Connection.DATABASE: Proxy(),
        }
        async with contextlib.AsyncExitStack() as exit_stack:
            for proxy in proxies.values():
                await exit_stack.enter_async_context(proxy.serve())
            # Choose the stack's ports last, so that no proxy takes one of them.
            environ = _environ(Path(folder), instruction)
            for connection, proxy in proxies.items():
                proxy.upstream = network.url(int(environ[_UPSTREAM_PORTS[connection]]))
            public_url = proxies[Connection.CALLBACKS].url
            definition = stack.describe({**environ, "PUBLIC_BASE_URL": public_url})
            addresses = _proxy_addresses(proxies)
            # Start the programs in this thread, not in a worker thread. The supervisor sets
            # PR_SET_PDEATHSIG, so Linux kills a program when the thread that started it ends.
            programs = exit_stack.enter_context(
                supervisor.running(definition, {"api": addresses, "sweep": addresses})
            )
            yield ChaosStack(definition, proxies, programs)
