"""Fixtures for all tests: a simulator, a local DynamoDB, new tables per test, and fake logs."""

import itertools
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from chalicelib.config import Settings
from local import dynamodb as local_dynamodb
from local import network
from local.dynamodb import TableNames
from taskrouter_simulator.testing import taskrouter  # noqa: F401  # a fixture
from tests import in_process
from tests.fake_logs import FakeLogs, serve_logs


def pytest_configure():
    """Remove AWS, Twilio, simulator, proxy and app settings from the environment."""
    app_settings = {field.name.upper() for field in fields(Settings)} | {"SETTINGS_DEFAULTS"}
    for name in list(os.environ):
        is_external = name.startswith(("AWS_", "TWILIO_", "SIMULATOR_"))
        if is_external or name in app_settings or name.lower().endswith("_proxy"):
            del os.environ[name]


def pytest_xdist_auto_num_workers():
    """Return one more than the number of usable CPUs, or None if that number is unknown.

    The additional worker keeps the CPUs busy while other tests wait for subprocesses.
    """
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else None


# Examples have no deadline, because their duration depends more on the machine than on the code.
settings.register_profile("project", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("project")


@dataclass
class LocalDynamoDb:
    """A running local DynamoDB server.

    Attributes:
        url: Base URL of the endpoint.
        environ: Environment variables that make boto3 use this endpoint.
    """

    url: str
    environ: dict[str, str]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _client: Any = None

    def client(self) -> Any:
        """Return a shared client, because creating a client takes longer than most tests."""
        if self._client is None:
            self._client = local_dynamodb.client(self.url)
            in_process.connect(self._client, local_dynamodb.dynamodb_api())
        return self._client

    def create_tables(self) -> TableNames:
        """Create a new pair of tables."""
        number = next(self._numbers)
        tables = TableNames(f"reservations-{number}", f"state-{number}")
        local_dynamodb.create_tables(self.client(), tables)
        return tables


@pytest.fixture(scope="session")
def dynamodb() -> Iterator[LocalDynamoDb]:
    """A local DynamoDB server in a thread, shared by all tests in this process."""
    server = local_dynamodb.create_server(0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    network.wait_for("The local DynamoDB", lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    environ = {
        "AWS_ENDPOINT_URL_DYNAMODB": network.url(port),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    yield LocalDynamoDb(network.url(port), environ)
    server.should_exit = True
    thread.join()


@pytest.fixture
def tables(dynamodb: LocalDynamoDb) -> TableNames:
    """New tables for one test.

    To share tables within a module, call `dynamodb.create_tables()` instead.
    """
    return dynamodb.create_tables()


@pytest.fixture
def fake_logs(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLogs]:
    """A fake CloudWatch Logs server, and the environment that makes the app's client use it."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with serve_logs() as logs:
        monkeypatch.setenv("AWS_ENDPOINT_URL_LOGS", logs.url)
        yield logs
