"""Connects the engine, the clock, the callbacks and the HTTP routes."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from taskrouter_simulator import seed, snapshots
from taskrouter_simulator.callbacks.delivery import DeliveryClient
from taskrouter_simulator.callbacks.dispatcher import Dispatcher
from taskrouter_simulator.clock import Clock
from taskrouter_simulator.control import control_routes
from taskrouter_simulator.control_base import ControlError
from taskrouter_simulator.definition.model import WorkspaceDefinition
from taskrouter_simulator.definition.reader import from_value, read
from taskrouter_simulator.engine import start
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.event_bridge.routes import EventBridge
from taskrouter_simulator.faults import Faults
from taskrouter_simulator.identifiers import Credentials
from taskrouter_simulator.log import Log
from taskrouter_simulator.portal.routes import portal_routes
from taskrouter_simulator.recording import Recorder
from taskrouter_simulator.rest.api import RestApi, expose_transport
from taskrouter_simulator.setting_values import SettingsError, environment_name
from taskrouter_simulator.settings import Settings

_SEEDED_START = 1_767_225_600.0
"""Start time of a frozen clock if `seed` is set: 2026-01-01T00:00:00Z."""
_REPLACED = "a reset or a restored snapshot replaced the state while the request was waiting"


class Simulator:
    """The simulator, which starts with the configured Workspace or the quickstart's.

    The engine and all methods run on the event loop that serves `app`.

    Args:
        settings: The settings.

    Raises:
        DefinitionError: The configured workspace file does not define a valid Workspace.
        SettingsError: The configured recording cannot be opened.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.credentials = Credentials()
        self.clock = _clock(settings)
        self.log = Log(settings.log_size, settings.log_answers, self.clock.now)
        self.faults = Faults()
        stopwatch = self.clock.now if settings.seed else time.monotonic
        self._recorder = _recorder(settings.record_file, self.log)
        record = self._recorder.record if self._recorder else self.log.record
        client = DeliveryClient(self.credentials, settings, record, stopwatch)
        self.dispatcher = Dispatcher(client, settings, self.log.record, self.faults)
        file = settings.workspace_file
        self.event_bridge = EventBridge(
            lambda: self.engine, settings, self.credentials, self.log.record, self.faults
        )
        self._definition = read(Path(file)) if file else seed.default_definition()
        self._set_engine(self._new_engine(self._definition))
        rest = RestApi(
            lambda: self.engine, settings, self.credentials, self.log.record, self.faults
        )
        self.app = Starlette(
            routes=[
                *control_routes(self),
                *portal_routes(lambda: self.engine, self.log),
                *self.event_bridge.routes(),
                *rest.routes(),
            ],
            lifespan=self._lifespan,
        )

    def reset(self, workspace: Mapping[str, Any] | None = None) -> None:
        """Replace the Workspace, reset the time, and clear timers, callbacks, log and faults.

        A frozen clock returns to its start time, and any other clock returns to real time.

        Args:
            workspace: Definition of the new Workspace, as in a workspace file; None means the
                original Workspace.

        Raises:
            DefinitionError: The definition is invalid; nothing has changed.
        """
        chosen = from_value(workspace) if workspace else self._definition
        seed.load(start(self.settings, Clock(self.clock.now), lambda _effect: None), chosen)
        self.clock.reset()
        self.dispatcher.cancel()
        self.event_bridge.disconnect()
        self.log.clear()
        self.faults.clear()
        self._set_engine(self._new_engine(chosen))

    async def advance(self, seconds: float) -> None:
        """Move the clock forward; after each due timer, wait for the resulting callbacks.

        Concurrent calls run one after another.

        Raises:
            ControlError: A reset or a restored snapshot has replaced the state in the meantime. The
                new state is unaffected.
        """
        engine = self.engine
        async with self._advancing:
            self._require_current(engine)
            end = self.clock.now() + seconds
            await self._run_due(engine)
            while (due := self.clock.next_due()) is not None and due <= end:
                self.clock.jump(due)
                await self._run_due(engine)
            self.clock.jump(end)

    async def _run_due(self, engine: Engine) -> None:
        self.clock.run_due()
        await self.dispatcher.drain()
        self._require_current(engine)

    def _require_current(self, engine: Engine) -> None:
        if engine is not self.engine:
            raise ControlError(_REPLACED, HTTPStatus.CONFLICT)

    def snapshot(self) -> dict[str, Any]:
        """Return the complete state as JSON."""
        self.clock.run_due()  # finish a paused routing pass, which a snapshot cannot contain
        state = snapshots.State(
            self.workspace_sid,
            self.workflow_sid,
            self.clock.state(),
            snapshots.read_timers(self.engine),
            self.dispatcher.unfinished(),
            self.faults.state,
            self.log.position,
        )
        return snapshots.write(self.engine, self.dispatcher, state)

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replace the state with the state in a snapshot, and clear the log.

        Connections of the browser SDK are closed.

        Raises:
            SnapshotError: The snapshot is invalid; nothing has changed.
        """
        engine = self._start_engine()
        state = snapshots.read(snapshot, engine, self.dispatcher)
        self.workspace_sid, self.workflow_sid = state.workspace_sid, state.workflow_sid
        self._set_engine(engine)
        self.faults.state = state.faults
        self.event_bridge.disconnect()
        self.log.clear()
        self.log.position = state.log_position
        self.clock.restore(state.clock)
        snapshots.start_timers(engine, self.clock, state.timers)
        self.dispatcher.resume(state.callbacks)

    def _start_engine(self) -> Engine:
        engine: Engine
        engine = start(
            self.settings, self.clock, lambda effect: self.dispatcher.dispatch(engine, effect)
        )
        engine.on_event = self.event_bridge.publish
        return engine

    def _set_engine(self, engine: Engine) -> None:
        self.engine = engine
        self._advancing = asyncio.Lock()  # a request may still hold the previous engine's lock

    def _new_engine(self, definition: WorkspaceDefinition) -> Engine:
        engine = self._start_engine()
        workspace = seed.load(engine, definition)
        self.workspace_sid = workspace.sid
        self.workflow_sid = next(iter(workspace.workflows), "")
        return engine

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        self.clock.attach(asyncio.get_running_loop())
        yield
        self.clock.attach(None)
        await self.dispatcher.close()
        if self._recorder:
            self._recorder.close()


def _recorder(path: str, log: Log) -> Recorder | None:
    try:
        return Recorder(Path(path), log.record) if path else None
    except OSError as error:
        name = environment_name("record_file")
        problem = f"{name} must be a writable file, not {path!r}: {error.strerror}"
        raise SettingsError(problem) from error


def _clock(settings: Settings) -> Clock:
    start_time = time.time()
    if settings.frozen_clock:
        start_time = _SEEDED_START if settings.seed else start_time
        return Clock(lambda: start_time, frozen=True)
    offset = start_time - time.monotonic()
    return Clock(lambda: offset + time.monotonic())


class _WebSocketProtocol(WebSocketsSansIOProtocol):
    """Sends a response to an invalid handshake; uvicorn itself sends none."""

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.handshake_exc:
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()


def _concerns_server(record: logging.LogRecord) -> bool:
    """Return whether a log record concerns the server rather than invalid text sent by a client."""
    return record.msg != "Invalid UTF-8 sequence received from client."


def uvicorn_config(simulator: Simulator) -> uvicorn.Config:
    """Return a uvicorn configuration with minimal logging and a short shutdown timeout."""
    logging.getLogger("uvicorn.error").addFilter(_concerns_server)
    return uvicorn.Config(
        expose_transport(simulator.app),
        log_level="warning",
        access_log=False,
        ws=_WebSocketProtocol,
        lifespan="on",
        # Otherwise, a remote client could claim a loopback address in X-Forwarded-For if the
        # environment variable FORWARDED_ALLOW_IPS is set.
        proxy_headers=False,
        timeout_graceful_shutdown=1,
        # Long, because a request fails if the server closes an idle connection just as the client
        # reuses the connection.
        timeout_keep_alive=120,
    )


def base_url(address: tuple[Any, ...]) -> str:
    """Return the URL of a socket's address; the address begins with host and port."""
    host, port = address[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: The address is not available; the message names the address and the reason.
    """
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
    except OSError as error:
        # Python appends "(while attempting to bind on address ...)".
        reason = (error.strerror or str(error)).partition(" (while")[0]
        raise OSError(f"cannot listen on {host}:{port}: {reason}") from error
    # asyncio sets this option only on sockets that it creates. Without the option, Nagle's
    # algorithm delays every response by 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
