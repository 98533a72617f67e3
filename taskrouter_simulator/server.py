"""The simulator as a whole: one engine, its clock, its callbacks, its HTTP, on one event loop."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from taskrouter_simulator import control, seed
from taskrouter_simulator.callbacks.courier import Courier
from taskrouter_simulator.callbacks.sender import Sender
from taskrouter_simulator.callbacks.signature import Keys
from taskrouter_simulator.clock import Clock
from taskrouter_simulator.engine import start
from taskrouter_simulator.engine.core import Effect, Engine
from taskrouter_simulator.faults import Faults
from taskrouter_simulator.identifiers import made_up
from taskrouter_simulator.log import Log
from taskrouter_simulator.portal import routes as portal
from taskrouter_simulator.rest.faulty import expose_transport
from taskrouter_simulator.rest.http import Credentials, Rest
from taskrouter_simulator.settings import Settings


class Simulator:
    """A TaskRouter with one Workspace: the settings' or the quickstart's.

    Every step of the engine runs on the event loop that serves `app`; so does whatever calls the
    methods here.

    Args:
        settings: the named defaults.

    Raises:
        SeedError: the settings' workspace file makes no Workspace.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.account_sid = "AC" + made_up("account")
        self.auth_token = made_up("auth-token")
        self.api_key_sid = "SK" + made_up("api-key")
        self.api_key_secret = made_up("api-key-secret")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._alarm: asyncio.TimerHandle | None = None
        began = time.time() - time.monotonic()
        standing = time.time()
        self.clock = Clock(
            (lambda: standing) if settings.frozen_clock else (lambda: began + time.monotonic()),
            on_arm=self._set_alarm,
        )
        self.log = Log(settings.log_size, settings.log_answers, self.clock.now)
        self.faults = Faults()
        self.shared_key_id = made_up("shared-key-id")
        self.shared_key = made_up("shared-key")
        keys = Keys(self.auth_token, self.shared_key_id, self.shared_key)
        self.courier = Courier(keys, self.log.record)
        self.sender = Sender(
            self.courier,
            self.log.record,
            self.faults,
            one_event_at_a_time=settings.event_callbacks_in_order,
        )
        file = settings.workspace_file
        self._description = seed.read(Path(file)) if file else seed.quickstart()
        self.engine = self._seeded(self._description)
        credentials = Credentials(
            ((self.account_sid, self.auth_token), (self.api_key_sid, self.api_key_secret))
        )
        rest = Rest(lambda: self.engine, credentials, self.log.record, self.faults)
        self.app = Starlette(
            routes=[*control.routes(self), *portal.routes(self), *rest.routes()],
            lifespan=self._lifespan,
        )

    def reset(self, description: seed.Description | None = None) -> None:
        """Begin anew: a fresh Workspace, an empty log, no faults; the clock goes on.

        Args:
            description: of the Workspace; None is the one that the simulator started with.

        Raises:
            SeedError: it makes no Workspace; everything is as it was.
        """
        chosen = description or self._description
        seed.load(start(self.settings, Clock(self.clock.now), lambda _effect: None), chosen)
        self.clock.forget()
        self.sender.abandon()
        self.log.clear()
        self.faults.clear()
        self.engine = self._seeded(chosen)

    async def advance(self, seconds: float) -> None:
        """Put the clock forward; at each timer on the way, wait for the callbacks it leads to."""
        end = self.clock.now() + seconds
        self.clock.run_due()
        await self.sender.settled()
        while (due := self.clock.next_due()) is not None and due <= end:
            self.clock.jump(due)
            self.clock.run_due()
            await self.sender.settled()
        self.clock.jump(end)

    def _seeded(self, description: seed.Description) -> Engine:
        engine: Engine

        def emit(effect: Effect) -> None:
            self.sender.take(engine, effect)

        engine = start(self.settings, self.clock, emit)
        workspace = seed.load(engine, description)
        self.workspace_sid = workspace.sid
        self.workflow_sid = next(iter(workspace.workflows), "")
        return engine

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self._loop = asyncio.get_running_loop()
        await self.courier.open()
        self._set_alarm()
        yield
        self._loop = None
        await self.sender.close()
        await self.courier.close()

    def _set_alarm(self) -> None:
        """Have the loop wake up for the next timer."""
        if self._loop is None:
            return
        if self._alarm:
            self._alarm.cancel()
        due = self.clock.next_due()
        if due is None:
            return
        wait = max(0.0, due - self.clock.now())
        if wait and self.settings.frozen_clock:
            return
        self._alarm = self._loop.call_later(wait, self._fire)

    def _fire(self) -> None:
        try:
            self.clock.run_due()
        finally:
            self._set_alarm()


def configuration(simulator: Simulator) -> uvicorn.Config:
    """How uvicorn serves the simulator: quietly, and gone at once when told to stop."""
    return uvicorn.Config(
        expose_transport(simulator.app),
        log_level="warning",
        access_log=False,
        ws="none",
        lifespan="on",
        timeout_graceful_shutdown=1,
        # clients keep connections; closing one just as it is used again looks like a cut
        timeout_keep_alive=120,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises:
        OSError: the address cannot be had; the message says which and why.
    """
    try:
        listener = socket.create_server((host, port))
    except OSError as error:
        raise OSError(
            f"cannot listen on {host}:{port}: {os.strerror(error.errno) if error.errno else error}"
        ) from error
    # asyncio sets this only on sockets that it made itself; without it every answer takes 40 ms
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
