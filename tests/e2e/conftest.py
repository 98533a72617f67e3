import pytest

from local.demo.http_client import HttpClient


@pytest.fixture
def control(live):
    """An HTTP client for the simulator's control routes. The stack is cleared after each test."""
    yield HttpClient("simulator", f"{live.definition.simulator_url}/simulator", json=True)
    live.clear()
