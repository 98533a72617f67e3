"""Whichever use case dies between whichever two outside calls: a lease and a sweep heal it."""

import os
import re
from pathlib import Path

import pytest

from chalicelib.adapters.dynamodb.reservations import DynamoReservationStore
from chalicelib.usecases import sweep as sweeping
from tests.chaos.matrix import CASES, Case, OneAfterTheOther, Row, rows

DOCUMENT = Path(__file__).parents[2] / "docs" / "chaos.md"
_TABLE = re.compile(r"(?<=\n\| --- \| --- \| --- \| --- \|\n)(\|.*\n)+")


@pytest.fixture(autouse=True)
def _in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "ThreadPoolExecutor", OneAfterTheOther)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_lease_and_a_sweep_heal_it_and_the_table_says_so(
    store: DynamoReservationStore, case: Case
) -> None:
    found = list(rows(store, case))

    assert len(found) > 1
    assert [row for row in found if row.differs] == []
    if os.environ.get("CRASH_MATRIX") == "write":
        _write(case, found)
    documented = [line for line in _documented() if line.startswith(f"| {case.name} |")]
    assert documented == [str(row) for row in found], "CRASH_MATRIX=write pytest brings it up"


def test_the_table_names_no_case_that_is_not_there() -> None:
    assert {line.split(" | ")[0][2:] for line in _documented()} == {case.name for case in CASES}


def _documented() -> list[str]:
    found = _TABLE.search(DOCUMENT.read_text(encoding="utf-8"))
    return found[0].splitlines() if found else []


def _write(case: Case, found: list[Row]) -> None:
    """Put these rows in their place: the cases come in the order of CASES."""
    order = [one.name for one in CASES]
    others = [line for line in _documented() if not line.startswith(f"| {case.name} |")]
    lines = sorted(
        [*others, *(str(row) for row in found)],
        key=lambda line: order.index(line.split(" | ")[0][2:]),
    )
    text = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(_TABLE.sub(lambda _old: "\n".join(lines) + "\n", text), encoding="utf-8")
