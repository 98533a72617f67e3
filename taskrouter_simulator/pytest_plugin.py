"""Pytest fixtures that are available in every environment that contains the package.

Pytest imports this module at startup, so the fixtures import the simulator only when they are used.
A `taskrouter` fixture imported from `taskrouter_simulator.testing` overrides the fixture below.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from taskrouter_simulator.testing import TaskRouter


@pytest.fixture(scope="session")
def taskrouter_settings() -> dict[str, Any]:
    """Return the settings of the session's simulator; override this fixture to change them."""
    return {}


@pytest.fixture(scope="session")
def taskrouter_server(taskrouter_settings: dict[str, Any]) -> "Iterator[TaskRouter]":
    """Run one simulator for all tests of the session."""
    from taskrouter_simulator.testing import running  # noqa: PLC0415 - slow import

    with running(**taskrouter_settings) as server:
        yield server


@pytest.fixture
def taskrouter(
    request: pytest.FixtureRequest, taskrouter_settings: dict[str, Any]
) -> "Iterator[TaskRouter]":
    """Reset the session's simulator; with indirect parametrization, run a new simulator.

    The fixture's parameter is a dictionary of settings that override the session's settings.
    """
    from taskrouter_simulator.testing import TaskRouter, running  # noqa: PLC0415 - slow import

    if hasattr(request, "param"):
        with running(**{**taskrouter_settings, **request.param}) as simulator:
            yield simulator
    else:
        server: TaskRouter = request.getfixturevalue("taskrouter_server")
        server.reset()
        yield server
