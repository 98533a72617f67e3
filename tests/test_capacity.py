"""Tests of the limits that `python -m benchmarks.capacity` prints for docs/capacity.md."""

import re
from collections import Counter
from dataclasses import replace
from math import inf
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from benchmarks import capacity, footprint
from benchmarks.capacity import Inputs, Limit
from benchmarks.footprint import ACCEPT_PATH, TABLE, Footprint, write_units
from benchmarks.inputs import EVENT_PATH, PATH
from benchmarks.simulated_sweep import Sweep, simulate
from benchmarks.simulated_taskrouter import UNLIMITED, TaskRouterLimits
from benchmarks.simulation import Scenario
from infra.aws import capacity as throttles
from infra.aws.capacity import callback_throttle, default_throttle

PAGE = (Path(__file__).parent.parent / "docs" / "capacity.md").read_text(encoding="utf-8")

ITEM = {
    "reservation_sid": {"S": "WR1"},
    "status": {"S": "pending"},
    "open_as": {"S": "pending"},
    "due_at": {"N": "5"},
    "worker_sid": {"S": "WK1"},
    "hour": {"S": "2026-11-22T01"},
    "reserved_at": {"N": "1"},
}


@pytest.fixture(scope="module")
def rest_footprint() -> Footprint:
    return footprint.measure(over_rest=True)


def test_reservation_accepted_over_rest_needs_eight_writes(rest_footprint: Footprint) -> None:
    assert rest_footprint.requests == {PATH: 1, EVENT_PATH: 4, ACCEPT_PATH: 1}
    assert rest_footprint.writes == {PATH: 1, EVENT_PATH: 5, ACCEPT_PATH: 2}
    assert rest_footprint.units == {
        TABLE: 16,
        "due pending": 5,
        "due accepted": 2,
        "due wrapping": 2,
        "by_hour": 6,
        "by_worker": 6,
    }
    assert rest_footprint.taskrouter == 1


def test_reservation_accepted_by_the_callback_answer_needs_six_writes() -> None:
    measured = footprint.measure(over_rest=False)
    assert measured.requests == {PATH: 1, EVENT_PATH: 4, ACCEPT_PATH: 0}
    assert measured.writes == {PATH: 1, EVENT_PATH: 5}
    assert measured.units["due pending"] == 3
    assert measured.taskrouter == 0


def test_new_item_needs_a_write_to_the_table_and_to_each_index() -> None:
    assert write_units({}, ITEM) == {TABLE: 1, "due pending": 1, "by_worker": 1, "by_hour": 1}


def test_index_entry_whose_key_changes_is_written_twice() -> None:
    assert write_units(ITEM, {**ITEM, "due_at": {"N": "6"}}) == {TABLE: 1, "due pending": 2}
    accepted = {**ITEM, "open_as": {"S": "accepted"}}
    assert write_units(ITEM, accepted) == {TABLE: 1, "due pending": 1, "due accepted": 1}


def test_index_entry_is_written_only_if_a_projected_attribute_changes() -> None:
    assert write_units(ITEM, {**ITEM, "acceptor": {"S": "ann"}}) == {TABLE: 1}
    changed = {**ITEM, "status": {"S": "timeout"}}
    assert write_units(ITEM, changed) == {TABLE: 1, "by_worker": 1, "by_hour": 1}


def test_index_entry_of_an_ended_reservation_is_deleted() -> None:
    ended = {name: value for name, value in ITEM.items() if name not in ("open_as", "due_at")}
    assert write_units(ITEM, ended) == {TABLE: 1, "due pending": 1}


def test_large_items_need_a_write_unit_per_kilobyte_of_the_larger_version() -> None:
    large = {**ITEM, "task_attributes": {"S": "x" * 2_800}}
    assert write_units(large, ITEM)[TABLE] == 3
    assert write_units(ITEM, large) == {TABLE: 3}


def test_size_of_an_item_follows_the_rules_of_dynamodb() -> None:
    item = {
        "s": {"S": "é"},  # 1 + 2
        "n": {"N": "1234"},  # 1 + 3
        "b": {"BOOL": True},  # 1 + 1
        "m": {"M": {"a": {"S": "x"}}},  # 1 + 3 + 1 + 2
        "l": {"L": [{"S": "x"}, {"NULL": True}]},  # 1 + 3 + 2 + 2
    }
    assert footprint._size(item) == 3 + 4 + 2 + 7 + 8


def test_limit_is_reached_when_the_reservations_need_the_whole_quota() -> None:
    assert Limit(1_000, "write units", 4).rate == 250
    assert Limit(50, "requests", 0).rate == inf


def find_limits(
    rest_footprint: Footprint, monkeypatch: pytest.MonkeyPatch, **inputs: int
) -> dict[str, Limit]:
    rates = {"reserved Tasks": 100.0, "Events": 200.0, "due Reservations": inf}
    monkeypatch.setattr(capacity, "_sweep_rates", lambda *_, **__: rates)
    return capacity.find_limits(rest_footprint, Inputs(**inputs), over_rest=True)


def test_page_states_the_source_of_each_limit(
    rest_footprint: Footprint, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sources,) = re.findall(r"\| limit \| source .*?\n\n", PAGE, re.DOTALL)
    names = re.findall(r"^\| (.+?) \|", sources, re.MULTILINE)[1:]
    assert Counter(names) == Counter(find_limits(rest_footprint, monkeypatch).keys())


def test_throttles_depend_on_concurrency_as_they_do_in_a_deployment(
    rest_footprint: Footprint, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = find_limits(rest_footprint, monkeypatch, lambda_concurrency=10)
    assert limits[f"throttle of {PATH}"].quota == callback_throttle(10).rate
    assert limits[f"throttle of {ACCEPT_PATH}"].quota <= default_throttle(10).rate
    assert limits["Lambda, requests"].quota == 100


@pytest.mark.parametrize(
    ("path", "concurrency", "rate", "rate_without_maximum"),
    [
        (PATH, 1_000, 1_000, 10_000),  # the maximum applies
        (EVENT_PATH, 1_000, 1_000, 1_000),  # the share equals the maximum
        (EVENT_PATH, 4_000, 1_000, 4_000),
        (ACCEPT_PATH, 1_000, 14.33, 14.33),  # the share applies
        (ACCEPT_PATH, 3_500, 50, 50),
        (ACCEPT_PATH, 7_000, 50, 100),
        (ACCEPT_PATH, 70_000, 50, 1_000),
    ],
)
def test_throttle_is_the_lower_of_the_documented_share_and_maximum(
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    concurrency: int,
    rate: float,
    rate_without_maximum: float,
) -> None:
    assert capacity._throttles(concurrency)[path] == pytest.approx(rate, abs=0.05)
    for name in ("MAX_CALLBACK_THROTTLE", "MAX_DEFAULT_THROTTLE"):
        monkeypatch.setattr(throttles, name, replace(getattr(throttles, name), rate=inf))
    assert capacity._throttles(concurrency)[path] == pytest.approx(rate_without_maximum, abs=0.05)


@pytest.mark.parametrize(("lowest_late_rate", "expected"), [(0, 40), (150, 153), (10**6, inf)])
def test_sweep_limit_is_the_lowest_tried_rate_at_which_the_sweep_falls_behind(
    monkeypatch: pytest.MonkeyPatch, lowest_late_rate: int, expected: float
) -> None:
    def simulate_sweep(scenario: Scenario) -> tuple[None, list[Sweep]]:
        is_late = scenario.rate >= lowest_late_rate
        late = {"due": 2, "tasks_age_ms": 10**6, "events_age_ms": 10**6}
        return None, [Sweep(0, **(late if is_late else {}))]

    monkeypatch.setattr(capacity, "simulate", simulate_sweep)
    rates = capacity._sweep_rates(Inputs(), over_rest=True)
    assert set(rates.values()) == {expected}


def test_command_line_options_set_the_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    received = SimpleNamespace(inputs=None)

    def render(inputs: Inputs) -> list[str]:
        received.inputs = inputs
        return ["| first |", "| second |"]

    monkeypatch.setattr(capacity, "render", render)
    result = CliRunner().invoke(capacity.main, ["--taskrouter-per-second", "7"])
    assert result.output == "| first |\n\n| second |\n"
    assert received.inputs == Inputs(taskrouter_per_second=7)
    assert Inputs().scenario(1, is_limited=True).taskrouter == TaskRouterLimits()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_page_contains_the_tables_that_the_command_prints() -> None:
    missing = [table for table in capacity.render(Inputs()) if f"\n\n{table}\n\n" not in PAGE]
    assert not missing, "Copy the tables to docs/capacity.md:\n\n" + "\n\n".join(missing)


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "sweep_s"), [(300, 120), (1_000, 300)])
def test_sweep_with_the_documented_timeout_keeps_up(rate: int, sweep_s: int) -> None:
    _, sweeps = simulate(Scenario(rate=rate, sweep_s=sweep_s, taskrouter=UNLIMITED))
    last = sweeps[-1]
    assert last.unchecked == 0
    assert max(last.tasks_age_ms, last.events_age_ms) <= capacity._MAX_AGE_MS


@pytest.mark.slow
def test_low_taskrouter_limit_ends_sweeps_after_the_documented_number_of_checks() -> None:
    limits = TaskRouterLimits(per_second=10)
    checked = {}
    for concurrency in (2, 8):
        scenario = Scenario(rate=600, answer_s=None, taskrouter=limits, concurrency=concurrency)
        checked[concurrency] = simulate(scenario)[1][-1].checked
    assert checked == {2: 180, 8: 100}
