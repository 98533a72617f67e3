"""For test suites: a simulator in this process, on a free port, as a pytest fixture.

Put `from taskrouter_simulator.testing import taskrouter` into a
`conftest.py`, then ask for `taskrouter`.
Settings go in by indirect parametrization:
`@pytest.mark.parametrize("taskrouter", [{"callback_base_url": url}], indirect=True)`.
"""

import asyncio
import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
import uvicorn

from taskrouter_simulator.server import Simulator, configuration, listen
from taskrouter_simulator.settings import Settings

if TYPE_CHECKING:
    from twilio.rest import Client

_PATIENCE = 600
_GRACE_SECONDS = 1
_DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class TaskRouter:
    """A running simulator, seen from a test.

    Args:
        url: where it listens, such as "http://127.0.0.1:8002".

    Attributes:
        account_sid, auth_token, api_key_sid, api_key_secret: made-up credentials.
        workspace_sid, workflow_sid: of the seeded Workspace.
        workers, activities, task_queues: SIDs by friendly name.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._learn(self._call("GET", ""))

    def _learn(self, about: dict[str, Any]) -> None:
        self.account_sid: str = about["account_sid"]
        self.auth_token: str = about["auth_token"]
        self.api_key_sid: str = about["api_key_sid"]
        self.api_key_secret: str = about["api_key_secret"]
        self.workspace_sid: str = about["workspace_sid"]
        self.workflow_sid: str = about["workflow_sid"]
        self.workers: dict[str, str] = about["workers"]
        self.activities: dict[str, str] = about["activities"]
        self.task_queues: dict[str, str] = about["task_queues"]

    def client(self) -> "Client":
        """Twilio's own client, pointed here."""
        from twilio.rest import Client  # noqa: PLC0415 - only who asks for it needs it installed

        client = Client(self.api_key_sid, self.api_key_secret, self.account_sid)
        client.taskrouter.base_url = self.url
        client.http_client.session.trust_env = False  # no proxy of the shell's on loopback
        return client

    def log(self, kind: str | None = None, after: int = 0) -> list[dict[str, Any]]:
        """Log entries, oldest first: of one kind, or all; with an id above `after`."""
        query = {"after": str(after)} | ({"kind": kind} if kind else {})
        entries: list[dict[str, Any]] = self._call("GET", f"/log?{urlencode(query)}")["entries"]
        return entries

    def advance(self, seconds: float = 0) -> None:
        """Put the clock forward, and wait for the callbacks that this leads to."""
        self._call("POST", "/clock", {"advance": seconds})

    def place_call(
        self, caller: str, called: str, *digits: str | None, **more: Any
    ) -> dict[str, Any]:
        """Have somebody call the app, and wait for the callbacks that this leads to.

        Args:
            caller: who calls, such as "+15550001111".
            called: which number.
            *digits: what is pressed, one for each `<Gather>`; None is nothing.
            **more: `url` and `worker_answers`, as POST /simulator/calls has them.

        Returns:
            The call: `sid`, `status`, `task_sid`, `steps` and more.
        """
        call = {"from": caller, "to": called, "digits": list(digits), **more}
        placed: dict[str, Any] = self._call("POST", "/calls", call)
        return placed

    def call(self, sid: str) -> dict[str, Any]:
        """A call as it is now: a caller's, or the one to a Worker."""
        found: dict[str, Any] = self._call("GET", f"/calls/{sid}")
        return found

    def hang_up(self, sid: str) -> dict[str, Any]:
        """Have whoever is at that end hang up."""
        ended: dict[str, Any] = self._call("POST", f"/calls/{sid}", {"status": "completed"})
        return ended

    def fault(self, on: str, kind: str, **more: Any) -> None:
        """Have the next matching call go wrong: the fields of `simulator.faults.Fault`."""
        self._call("POST", "/faults", {"on": on, "kind": kind, **more})

    def clear_faults(self) -> None:
        """Have nothing go wrong any more."""
        self._call("DELETE", "/faults")

    def reset(self, workspace: Mapping[str, Any] | None = None) -> None:
        """Begin anew, with an empty log, no faults, and the Workspace that is described.

        Args:
            workspace: as `quickstart.json` has it; None is the one of the start.
        """
        self._learn(self._call("POST", "/reset", workspace or {}))

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the URL is the simulator's own
            f"{self.url}/simulator{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with _DIRECTLY.open(request, timeout=_PATIENCE) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                error.add_note(json.load(error)["message"])
            raise


class _Server(uvicorn.Server):
    """A server that `stop` ends at once, where uvicorn's own waits twice for 0.1 s."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopped = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def stop(self) -> None:
        """Stop serving; call this from another thread, then wait for the server's thread."""
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
        """Close idle connections, and give running requests a second to finish."""
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if self.server_state.tasks:
            _, unfinished = await asyncio.wait(self.server_state.tasks, timeout=_GRACE_SECONDS)
            for task in unfinished:
                task.cancel()
        # a transport that closes needs one more turn of the loop to release its socket
        await asyncio.sleep(0)
        await self.lifespan.shutdown()


@contextmanager
def running(**settings: Any) -> Iterator[TaskRouter]:
    """A simulator in a thread of this process; its clock stands still unless told otherwise.

    Without `callback_base_url` it calls nobody back.

    Args:
        **settings: fields of `Settings`.
    """
    defaults: dict[str, Any] = {"frozen_clock": True}
    if "callback_base_url" not in settings:
        # no test calls whatever happens to listen on the default port
        defaults |= {"assignment_path": "", "voice_path": ""}
    chosen = Settings(**{**defaults, **settings, "port": 0})
    server = _Server(configuration(Simulator(chosen)))
    listener = listen(chosen.host, 0)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        host, port = listener.getsockname()[:2]
        yield TaskRouter(f"http://{host}:{port}")
    finally:
        server.stop()
        thread.join()
        listener.close()


@pytest.fixture
def taskrouter(request: pytest.FixtureRequest) -> Iterator[TaskRouter]:
    """A fresh simulator with the quickstart's Workspace."""
    with running(**getattr(request, "param", {})) as handle:
        yield handle
