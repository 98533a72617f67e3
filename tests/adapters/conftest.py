from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from tests.moto_over_http import MotoOverHttp, serve_moto


@pytest.fixture(scope="module")
def store(dynamodb: Any) -> DynamoReservationStore:
    """A store that all tests of a module share. Each test uses its own SIDs."""
    tables = dynamodb.create_tables()
    return DynamoReservationStore(
        dynamodb.client(),
        reservations_table=tables.reservations,
        state_table=tables.state,
        retention_days=30,
    )


@pytest.fixture
def moto_over_http(monkeypatch: pytest.MonkeyPatch) -> Iterator[MotoOverHttp]:
    """A moto server, with environment variables that make this service's clients use the server."""
    with serve_moto() as moto:
        for name, value in {
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "moto",
            "AWS_SECRET_ACCESS_KEY": "moto",
            "AWS_ENDPOINT_URL_DYNAMODB": moto.url,
            "AWS_ENDPOINT_URL_SSM": moto.url,
        }.items():
            monkeypatch.setenv(name, value)
        yield moto
