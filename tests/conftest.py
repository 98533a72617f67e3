"""What several kinds of tests share: a real DynamoDB API on loopback, and tables of one's own."""

import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from chalicelib.config import Settings
from local import dynamodb as local_dynamodb
from local import network, supervisor
from local.dynamodb import Tables
from taskrouter_simulator.testing import taskrouter  # noqa: F401  # a fixture


def pytest_configure():
    """Whosever shell this is, no account, profile, proxy or setting of theirs takes part."""
    settings = {field.name.upper() for field in fields(Settings)} | {"SETTINGS_DEFAULTS"}
    for name in list(os.environ):
        theirs = name.startswith(("AWS_", "TWILIO_", "SIMULATOR_"))
        if theirs or name in settings or name.lower().endswith("_proxy"):
            del os.environ[name]


def pytest_xdist_auto_num_workers():
    """Run one worker more than there are CPUs, because tests also wait for other processes."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else None


# How long an example takes says more of the machine than of the code.
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")


@dataclass
class LocalDynamoDb:
    """A running engine. boto3 itself reads `environ`, if a test lays it under its own."""

    url: str
    environ: dict[str, str]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _made: list[dict[str, Any]] = field(default_factory=list)
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str = "dynamodb") -> Any:
        """Return the shared client of a service; making one takes longer than most tests."""
        if service not in self._clients:
            self._clients[service] = local_dynamodb.client(service, self.url, self.environ)
        return self._clients[service]

    def create_tables(self) -> Tables:
        """The first pair as the template has it; every further one alike, which takes no stack."""
        number = next(self._numbers)
        tables = Tables(f"reservations-{number}", f"state-{number}")
        if number == 1:
            local_dynamodb.create_tables(self.client("cloudformation"), tables)
            self._made += map(self._described, (tables.reservations, tables.state))
        else:
            for name, like in zip((tables.reservations, tables.state), self._made, strict=True):
                self.client().create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **like)
        return tables

    def _described(self, name: str) -> dict[str, Any]:
        table = self.client().describe_table(TableName=name)["Table"]
        indexes = [
            {key: index[key] for key in ("IndexName", "KeySchema", "Projection")}
            for index in table.get("GlobalSecondaryIndexes", [])
        ]
        own = {key: table[key] for key in ("AttributeDefinitions", "KeySchema")}
        return {**own, "GlobalSecondaryIndexes": indexes} if indexes else own


@pytest.fixture(scope="session")
def dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDynamoDb]:
    """A DynamoDB in a process of its own, for the whole run."""
    (port,) = network.find_free_ports(1)
    environ = {
        "AWS_ENDPOINT_URL_DYNAMODB": network.url(port),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    command = [sys.executable, "-m", "local.dynamodb", str(port)]
    process = supervisor.start("dynamodb", command, os.environ, tmp_path_factory.mktemp("dynamodb"))
    try:
        network.wait_for("The local DynamoDB", lambda: local_dynamodb.is_ready(port))
        yield LocalDynamoDb(network.url(port), environ)
    finally:
        process.end()


@pytest.fixture
def tables(dynamodb: LocalDynamoDb) -> Tables:
    """Fresh tables for one test; for a module, use `dynamodb.create_tables()`."""
    return dynamodb.create_tables()
