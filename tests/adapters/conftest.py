from collections.abc import Iterator
from typing import Any

import pytest

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from tests.moto_over_http import MotoOverHttp, serve_moto


@pytest.fixture(scope="module")
def store(dynamodb: Any) -> DynamoReservationStore:
    """Return one store for all tests of a module; each test uses its own SIDs."""
    tables = dynamodb.create_tables()
    return DynamoReservationStore(
        dynamodb.client(),
        reservations_table=tables.reservations,
        state_table=tables.state,
        retention_days=30,
    )


@pytest.fixture
def moto_over_http(monkeypatch: pytest.MonkeyPatch) -> Iterator[MotoOverHttp]:
    """moto, with an environment in which this service's clients use it."""
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
