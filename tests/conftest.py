"""Fixtures for all tests: a local DynamoDB with new tables for each test."""

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
    """Remove accounts, profiles, proxies and settings of the shell from the environment."""
    settings = {field.name.upper() for field in fields(Settings)} | {"SETTINGS_DEFAULTS"}
    prefixes = ("AWS_", "TWILIO_", "SIMULATOR_")
    for name in list(os.environ):
        if name in settings or name.startswith(prefixes) or name.lower().endswith("_proxy"):
            del os.environ[name]


def pytest_xdist_auto_num_workers():
    """Start one worker more than there are CPUs, because tests also wait for other processes."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else None


# No deadline, because the duration of an example depends on the load of the machine.
settings.register_profile(
    "no deadline", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("no deadline")


@dataclass
class LocalDynamoDb:
    """A running DynamoDB emulator.

    Attributes:
        url: Base URL, such as "http://127.0.0.1:8001".
        environ: Environment variables that make boto3 use the emulator.
    """

    url: str
    environ: dict[str, str]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _definitions: list[dict[str, Any]] = field(default_factory=list)
    _clients: dict[str, Any] = field(default_factory=dict)

    def client(self, service: str = "dynamodb") -> Any:
        """Return a shared client, because creating one takes longer than most tests."""
        if service not in self._clients:
            self._clients[service] = local_dynamodb.client(service, self.url, self.environ)
        return self._clients[service]

    def create_tables(self) -> Tables:
        """Create new tables: the first from the template, the others as copies, without a stack."""
        number = next(self._numbers)
        tables = Tables(f"reservations-{number}", f"state-{number}")
        if number == 1:
            local_dynamodb.create_tables(self.client("cloudformation"), tables)
            self._definitions += map(self._definition, (tables.reservations, tables.state))
        else:
            names = (tables.reservations, tables.state)
            for name, definition in zip(names, self._definitions, strict=True):
                self.client().create_table(
                    TableName=name, BillingMode="PAY_PER_REQUEST", **definition
                )
        return tables

    def _definition(self, name: str) -> dict[str, Any]:
        table = self.client().describe_table(TableName=name)["Table"]
        indexes = [
            {key: index[key] for key in ("IndexName", "KeySchema", "Projection")}
            for index in table.get("GlobalSecondaryIndexes", [])
        ]
        definition = {key: table[key] for key in ("AttributeDefinitions", "KeySchema")}
        return {**definition, "GlobalSecondaryIndexes": indexes} if indexes else definition


@pytest.fixture(scope="session")
def dynamodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalDynamoDb]:
    """A local DynamoDB in a process of its own, for all tests of a worker."""
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
    """New tables for one test. Module fixtures call `dynamodb.create_tables()` instead."""
    return dynamodb.create_tables()
