"""Runs the scenarios of tests/usecases/test_state_machine.py with many more examples."""

import os

import pytest

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from tests.usecases.test_state_machine import run_scenarios

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3_600)]


def test_invariants_hold_in_many_random_scenarios(store: DynamoReservationStore) -> None:
    run_scenarios(store, int(os.environ.get("CHAOS_EXAMPLES", "1000")))
