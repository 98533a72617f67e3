import pytest

from local.demo.http_client import HttpClient


@pytest.fixture
def phone(live):
    """HTTP client for the simulator's call routes. The stack is cleared after a test."""
    yield HttpClient("simulator", f"{live.definition.simulator_url}/simulator", json=True)
    live.clear()
