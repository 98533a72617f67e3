"""What several kinds of tests share: a real DynamoDB API on loopback, and tables of one's own."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from local import dynamodb as engine
from local import ports, waiting
from local.dynamodb import Tables

ROOT = Path(__file__).parent.parent


@dataclass
class LocalDynamoDb:
    """A running engine. boto3 itself reads `environ`, if a test lays it under its own."""

    url: str
    environ: dict[str, str]
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def client(self, service: str = "dynamodb") -> Any:
        return engine.client(service, self.url, self.environ)

    def create_tables(self) -> Tables:
        number = next(self._numbers)
        tables = Tables(f"reservations-{number}", f"state-{number}")
        engine.create_tables(self.client("cloudformation"), tables, stack=f"tables-{number}")
        return tables


@pytest.fixture(scope="session")
def dynamodb() -> Iterator[LocalDynamoDb]:
    """A DynamoDB in a process of its own, for the whole run."""
    (port,) = ports.find_free(1)
    url = f"http://{ports.LOOPBACK}:{port}"
    environ = {
        "AWS_ENDPOINT_URL_DYNAMODB": url,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "local", "dynamodb", "--no-tables", "--port", str(port)],
        cwd=ROOT,
        env=os.environ | environ,
    )
    try:
        waiting.wait_for("The local DynamoDB", lambda: waiting.answers(f"{url}/_ministack/ready"))
        yield LocalDynamoDb(url, environ)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


@pytest.fixture
def tables(dynamodb: LocalDynamoDb) -> Tables:
    """Fresh tables for one test; for a module, use `dynamodb.create_tables()`."""
    return dynamodb.create_tables()
