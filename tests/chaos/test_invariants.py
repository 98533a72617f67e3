"""Runs the scenarios of tests/usecases/test_state_machine.py with many more examples."""

import os

import pytest

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from tests.usecases.test_state_machine import run_scenarios

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(3_600)]


PARTS = 4
"""Number of tests among which the examples are divided, so that the tests run in parallel."""


@pytest.mark.parametrize("part", range(PARTS))
def test_invariants_hold_in_many_random_scenarios(
    request: pytest.FixtureRequest, store: DynamoReservationStore, part: int
) -> None:
    examples = int(os.environ.get("CHAOS_EXAMPLES", "1000"))
    # `--hypothesis-seed` would give all parts the same examples.
    seed = request.config.getoption("randomly_seed") * PARTS + part
    run_scenarios(store, examples // PARTS, seed)
