"""Lease expiry and sweeping restore a consistent state after a crash.

Each use case is interrupted before its first external call and after each external call.
"""

import os
import re
from pathlib import Path

import pytest

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.usecases import sweep as sweeping
from tests.chaos.crash_cases import CASES, Case, SequentialExecutor
from tests.chaos.crash_matrix import Row, rows

DOCUMENT = Path(__file__).parents[2] / "docs" / "chaos.md"
_TABLE = re.compile(r"(?<=\n\| --- \| --- \| --- \| --- \|\n)(\|.*\n)+")


@pytest.fixture(autouse=True)
def _sequential_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "ThreadPoolExecutor", SequentialExecutor)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_recovery_from_each_crash_is_as_documented(
    store: DynamoReservationStore, case: Case
) -> None:
    results = list(rows(store, case))

    assert len(results) > 1
    assert [row for row in results if row.problem] == []
    if os.environ.get("CRASH_MATRIX") == "write":
        _write(case, results)
    documented = [line for line in _documented() if line.startswith(f"| {case.name} |")]
    assert documented == [str(row) for row in results], (
        "The table in docs/chaos.md differs from the test results. "
        "Run the test with CRASH_MATRIX=write to update the table."
    )


def test_documented_cases_are_exactly_the_tested_cases() -> None:
    assert {line.split(" | ")[0][2:] for line in _documented()} == {case.name for case in CASES}


def _documented() -> list[str]:
    table = _TABLE.search(DOCUMENT.read_text(encoding="utf-8"))
    return table[0].splitlines() if table else []


def _write(case: Case, results: list[Row]) -> None:
    """Replace the rows of a case in DOCUMENT, and sort all rows in the order of CASES."""
    order = [listed.name for listed in CASES]
    other_lines = [line for line in _documented() if not line.startswith(f"| {case.name} |")]
    lines = sorted(
        [*other_lines, *(str(row) for row in results)],
        key=lambda line: order.index(line.split(" | ")[0][2:]),
    )
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(_TABLE.sub(lambda _match: "\n".join(lines) + "\n", text), encoding="utf-8")
