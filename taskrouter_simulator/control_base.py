"""The interface between the control routes and the simulator."""

from collections.abc import Mapping
from typing import Any, Protocol

from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.faults import Faults
from taskrouter_simulator.identifiers import Credentials
from taskrouter_simulator.log import Log
from taskrouter_simulator.settings import Settings


class Simulator(Protocol):
    """The part of the simulator that the control routes use.

    Attributes:
        credentials: The test credentials.
        engine: The current engine; a reset or a restored snapshot replaces it.
        log: The log.
        faults: The pending faults.
        settings: The settings.
        workspace_sid: SID of the loaded Workspace (WS…).
        workflow_sid: SID of the first loaded Workflow (WW…); "" if there is none.
    """

    credentials: Credentials
    engine: Engine
    log: Log
    faults: Faults
    settings: Settings
    workspace_sid: str
    workflow_sid: str

    async def advance(self, seconds: float) -> None:
        """Move the clock forward and wait for the resulting callbacks.

        Raises:
            ControlError: A reset or a restored snapshot has replaced the state in the meantime.
        """

    def reset(self, workspace: Mapping[str, Any] | None = None) -> None:
        """Replace the Workspace, reset the time, and clear timers, callbacks, log and faults."""

    def snapshot(self) -> dict[str, Any]:
        """Return the complete state as JSON."""

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Replace the state with the state in a snapshot."""


class ControlError(ValueError):
    """A request to a control route failed.

    Args:
        message: Description of the error.
        status: HTTP status of the response.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status
