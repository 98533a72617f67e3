from typing import Any

import pytest

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore


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
