import pytest

from local.demo.http_client import HttpClient


@pytest.fixture
def phone(live):
    """A client of the simulator's call routes. Clears the stack after the test."""
    yield HttpClient("simulator", f"{live.definition.simulator_url}/simulator", json=True)
    live.clear()
