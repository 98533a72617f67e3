"""The real stack, its programs joined by proxies, with time-outs of a few seconds."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from chalicelib import config
from local import network, stack, supervisor
from local.supervisor import Running
from tests.chaos.link import Answer, Call, Proxy
from tests.chaos.plan import Link

RESERVATION_TIMEOUT_SECONDS = 5
LEASE_SECONDS = 4
"""Over any wait that a fault makes of a call that takes effect in the end, as a lease has to be."""
GRACE_SECONDS = 1

_NEVER = "86400"
_BEHIND = {
    Link.CALLBACKS: "API_PORT",
    Link.REST: "SIMULATOR_PORT",
    Link.DATABASE: "DYNAMODB_PORT",
}


def _environ(workspace_file: Path, instruction: str) -> dict[str, str]:
    numbers = dict(zip(stack.DEFAULT_PORTS, map(str, network.find_free_ports(3)), strict=True))
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {
        **kept,
        **numbers,
        "ASSIGNMENT_INSTRUCTION": instruction,
        "RESERVATION_TIMEOUT_SECONDS": str(RESERVATION_TIMEOUT_SECONDS),
        "CLAIM_LEASE_SECONDS": str(LEASE_SECONDS),
        "SWEEP_GRACE_SECONDS": str(GRACE_SECONDS),
        "SWEEP_EVERY_SECONDS": "1",
        "SIMULATOR_WORKSPACE_FILE": str(workspace_file),
        "SIMULATOR_FALLBACK_PATH": "/assignment_callback/fallback",
        "SIMULATOR_EVENT_PATH": "/event_callback",
        "SIMULATOR_LOG_SIZE": "1000000",
        # Closed Tasks stay, so that the end can be compared.
        "SIMULATOR_CLOSED_TASK_SECONDS": _NEVER,
    }


def workspace(workers: int) -> dict[str, object]:
    """The quickstart's Workspace in small, with that many Workers, all of them Idle."""
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
        "events_filter": ",".join(
            [
                *(f"reservation.{what}" for what in _RESERVATION_EVENTS),
                "task.created",
                "task.canceled",
            ]
        ),
    }


_RESERVATION_EVENTS = (
    "created",
    "accepted",
    "rejected",
    "timeout",
    "canceled",
    "rescinded",
    "wrapup",
    "completed",
)


@dataclass
class Stage:
    """A stack that runs, and the ways between its programs.

    Attributes:
        described: what runs.
        links: by name.
    """

    described: stack.Stack
    links: Mapping[Link, Proxy]
    _running: Running
    _current: dict[str, str] = field(default_factory=lambda: {"api": "api", "sweep": "sweep"})
    _starts: int = 0

    @property
    def settings(self) -> config.Settings:
        """The app's, but that they lead to TaskRouter and DynamoDB directly."""
        return self.described.settings

    def kill(self, name: str) -> None:
        """End a program as a crash would."""
        self._running.processes[self._current[name]].kill()

    async def start_again(self, name: str) -> None:
        """Start a program that was killed, and wait until it does its work."""
        self._starts += 1
        self._current[name] = own = f"{name}-{self._starts}"
        program = self.described.program(name)
        environ = {**self.described.environ, **_behind_links(self.links)}
        self._running.start(program, environ, own)
        await asyncio.to_thread(self._running.wait_for, program, own)

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """Have a program stand still."""
        pid = self._running.processes[self._current[name]].popen.pid
        os.killpg(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGCONT)

    def printed(self, name: str) -> str:
        """What all programs of that name have printed."""
        return "".join(
            process.output()
            for own, process in self._running.processes.items()
            if own.partition("-")[0] == name
        )


def _behind_links(links: Mapping[Link, Proxy]) -> dict[str, str]:
    return {
        "TWILIO_TASKROUTER_URL": links[Link.REST].url,
        "AWS_ENDPOINT_URL_DYNAMODB": links[Link.DATABASE].url,
    }


@asynccontextmanager
async def running(
    workers: int,
    instruction: str,
    *,
    heard: Callable[[Call], None],
    answered: Callable[[Call, Answer], None],
) -> AsyncIterator[Stage]:
    """Run a stack with that many Workers.

    Args:
        workers: how many.
        instruction: what the app answers to callbacks.
        heard: told of each callback that TaskRouter sends.
        answered: told of each answer that the app gave to one.

    Raises:
        StackError: a program did not come up.
    """
    with TemporaryDirectory(prefix="taskrouter-callbacks-") as folder:
        file = Path(folder) / "workspace.json"
        file.write_text(json.dumps(workspace(workers)), encoding="utf-8")
        links = {
            Link.CALLBACKS: Proxy(heard=heard, answered=answered),
            Link.REST: Proxy(),
            Link.DATABASE: Proxy(),
        }
        async with contextlib.AsyncExitStack() as opened:
            for link in links.values():
                await opened.enter_async_context(link.listening())
            # Only now, so that no proxy takes a port that was found free.
            environ = _environ(file, instruction)
            for name, link in links.items():
                link.upstream = f"http://{network.LOOPBACK}:{environ[_BEHIND[name]]}"
            described = stack.describe({**environ, "PUBLIC_BASE_URL": links[Link.CALLBACKS].url})
            own = _behind_links(links)
            # Not in another thread: a program ends with the thread that has started it.
            started = opened.enter_context(
                supervisor.running(described, {"api": own, "sweep": own})
            )
            yield Stage(described, links, started)
