import pytest

from local.demo.http_client import Caller


@pytest.fixture
def phone(office):
    """Places the calls of a test; afterwards the office has nothing left to do."""
    yield Caller("simulator", f"{office.described.simulator_url}/simulator", json=True)
    office.clear()
