"""A pytest fixture that runs the simulator in the test's process, on a free port.

Put `from taskrouter_simulator.testing import taskrouter` in your `conftest.py`, and add the
parameter `taskrouter` to your test. Pass settings with indirect parametrization:
`@pytest.mark.parametrize("taskrouter", [{"callback_base_url": url}], indirect=True)`.
"""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
import uvicorn

# Otherwise, uvicorn would import these modules when the first server starts.
import uvicorn.lifespan.on
import uvicorn.loops.auto
import uvicorn.protocols.http.auto

from taskrouter_simulator.client import TaskRouter
from taskrouter_simulator.server import Simulator, base_url, listen, uvicorn_config
from taskrouter_simulator.setting_values import read
from taskrouter_simulator.settings import Settings

__all__ = ["TaskRouter", "running", "taskrouter"]

_GRACE_SECONDS = 1

# Otherwise, the first simulator would start slowly, because it builds the expression parser.
Simulator(Settings())


class _Server(uvicorn.Server):
    """A server that stops without uvicorn's two delays of 0.1 s."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopped = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Stop serving.

        Call this method from another thread, and then join the server's thread.
        """
        self.should_exit = True
        if self._loop:
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def main_loop(self) -> None:
        """Refresh the Date header every second until the server is stopped."""
        self._loop = asyncio.get_running_loop()
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002
        """Close idle connections, and give active requests one second to finish."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            _, unfinished = await asyncio.wait(self.server_state.tasks, timeout=_GRACE_SECONDS)
            for task in unfinished:
                task.cancel()
        # A closing transport releases its socket in the event loop's next iteration.
        await asyncio.sleep(0)
        await self.lifespan.shutdown()


@contextmanager
def running(**settings: Any) -> Iterator[TaskRouter]:
    """Run a simulator in a thread of this process.

    By default, the simulator's clock is frozen. Unless `callback_base_url` is set, the defaults of
    `assignment_path` and `voice_path` are empty.

    Args:
        **settings: Fields of `Settings`; values may be strings, as in the environment.

    Raises:
        SettingsError: A setting is unknown or has an invalid value.
    """
    defaults: dict[str, Any] = {"frozen_clock": True, "port": 0}
    if "callback_base_url" not in settings:
        # An unrelated program might listen on the default port.
        defaults |= {"assignment_path": "", "voice_path": ""}
    chosen = read({**defaults, **settings})
    server = _Server(uvicorn_config(Simulator(chosen)))
    listener = listen(chosen.host, chosen.port)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield TaskRouter(base_url(listener.getsockname()), chosen.control_token)
    finally:
        server.stop()
        thread.join()
        listener.close()


@pytest.fixture
def taskrouter(request: pytest.FixtureRequest) -> Iterator[TaskRouter]:
    """Run a new simulator with the quickstart's Workspace."""
    with running(**getattr(request, "param", {})) as simulator:
        yield simulator
