from typing import Any

import pytest

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore


@pytest.fixture(scope="module")
def store(dynamodb: Any) -> DynamoReservationStore:
    """Return one store per module, whose tests use different SIDs."""
    tables = dynamodb.create_tables()
    return DynamoReservationStore(
        dynamodb.client(),
        reservations_table=tables.reservations,
        state_table=tables.state,
        retention_days=30,
    )
