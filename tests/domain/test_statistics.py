"""Selection of the hours that a sweep counts, and measurement of acceptance times."""

import statistics as oracle
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.reservations import HistoryEntry, Status
from chalicelib.domain.statistics import (
    HOUR_MS,
    MAX_SAMPLES,
    PERCENTILES,
    AcceptanceTimes,
    HourCount,
    IndexEntry,
    hour_starts,
    hours_to_count,
    newest_accepted,
    time_to_accept,
)

CURRENT = 497_222 * HOUR_MS
NOW = CURRENT + HOUR_MS // 2
STARTS = [CURRENT - number * HOUR_MS for number in range(24)]


def final(start: int, *, counted_at: int = NOW - 60_000) -> HourCount:
    return HourCount(start, counted_at, {"completed": 3}, is_complete=True)


@pytest.mark.parametrize("at", [CURRENT, NOW, CURRENT + HOUR_MS - 1])
def test_last_24_hours_start_with_the_current_hour(at: int) -> None:
    assert hour_starts(at) == STARTS


def test_all_hours_are_counted_at_first() -> None:
    assert hours_to_count({}, NOW) == STARTS


def test_two_newest_hours_and_the_least_recently_counted_final_hour_are_counted() -> None:
    counts = {start: final(start) for start in STARTS}
    counts[STARTS[9]] = final(STARTS[9], counted_at=NOW - 120_000)
    assert hours_to_count(counts, NOW) == [*STARTS[:2], STARTS[9]]


@pytest.mark.parametrize("status", ["pending", "accepted", "wrapping"])
def test_hours_with_open_reservations_are_ordered_by_the_time_of_their_last_count(
    status: str,
) -> None:
    counts = {start: final(start) for start in STARTS}
    for number, age in ((5, 60_000), (8, 180_000), (20, 120_000)):
        counts[STARTS[number]] = HourCount(STARTS[number], NOW - age, {status: 1}, is_complete=True)
    changing = [STARTS[8], STARTS[20], STARTS[5]]
    assert hours_to_count(counts, NOW) == [*STARTS[:2], *changing, STARTS[2]]


def test_uncounted_hour_precedes_hours_with_open_reservations() -> None:
    counts = {start: final(start) for start in STARTS if start != STARTS[23]}
    counts[STARTS[4]] = HourCount(STARTS[4], 5, {"pending": 1}, is_complete=True)
    assert hours_to_count(counts, NOW)[2:4] == [STARTS[23], STARTS[4]]


def test_each_final_hour_is_counted_again_within_22_sweeps() -> None:
    counts, counted = {start: final(start) for start in STARTS}, set()
    for minute in range(22):
        now = NOW + minute * 60_000
        *_, start = hours_to_count(counts, now)
        counts[start] = final(start, counted_at=now)
        counted.add(start)
    assert counted == set(STARTS[2:])


@pytest.mark.parametrize(
    ("by_status", "age", "is_final"),
    [
        ({}, 2 * HOUR_MS, True),
        ({}, 2 * HOUR_MS - 1, False),
        ({"completed": 1, "gone": 1, "pending": 0}, 9 * HOUR_MS, True),
        ({"completed": 1, "wrapping": 1}, 9 * HOUR_MS, False),
    ],
)
def test_hour_is_final_if_a_count_at_least_an_hour_after_its_end_finds_no_open_reservations(
    by_status: dict[str, int], age: int, *, is_final: bool
) -> None:
    assert HourCount(CURRENT, CURRENT + age, by_status, is_complete=True).is_final is is_final


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=100))
def test_percentiles_follow_the_nearest_rank_method(
    times: list[int],
) -> None:
    measured = AcceptanceTimes.measure(times, at=NOW)
    assert (measured.measured_at, measured.count) == (NOW, len(times))
    for percent, time in zip(PERCENTILES, measured.percentiles, strict=True):
        needed = percent * len(times) / 100
        assert time == min(each for each in times if sum(t <= each for t in times) >= needed)
    assert measured.percentiles[0] == oracle.median_low(times)


def test_percentiles_of_the_numbers_1_to_100_equal_their_percentages() -> None:
    assert AcceptanceTimes.measure(range(100, 0, -1), at=0).percentiles == PERCENTILES


def test_empty_list_of_times_has_no_percentiles() -> None:
    assert AcceptanceTimes.measure([], at=NOW) == AcceptanceTimes(NOW, 0, ())


def test_newest_accepted_reservations_are_sampled() -> None:
    entries = [IndexEntry(f"WR{number}", NOW - number, Status.ACCEPTED) for number in range(150)]
    others = [replace(entry, status=Status.REJECTED) for entry in entries]
    mixed = [each for pair in zip(others, entries, strict=True) for each in pair]
    assert newest_accepted(mixed, since=0) == [f"WR{number}" for number in range(MAX_SAMPLES)]
    assert newest_accepted(mixed, since=NOW - 2) == ["WR0", "WR1", "WR2"]


@pytest.mark.parametrize(
    ("status", "is_sampled"),
    [(status, status in {"accepted", "wrapping", "completed"}) for status in Status],
)
def test_only_accepted_wrapping_and_completed_reservations_are_sampled(
    status: Status, *, is_sampled: bool
) -> None:
    entries = [IndexEntry("WR1", NOW, status)]
    assert newest_accepted(entries, since=0) == (["WR1"] if is_sampled else [])


@pytest.mark.parametrize(
    ("entries", "time"),
    [
        ([(NOW, "pending", "event"), (NOW + 700, "accepted", "event")], 700),
        (
            [
                (NOW, "pending", "event"),
                (NOW + 5, "accepted", "worker:WK1"),
                (NOW + 9, "completed", "event"),
            ],
            5,
        ),
        ([(NOW + 5, "accepted", "event"), (NOW + 9, "completed", "event")], None),
        ([(NOW, "pending", "event"), (NOW - 5, "accepted", "event")], 0),
        ([(NOW, "pending", "event"), (NOW, "accepted", "event")], 0),
        ([(NOW, "accepted", "event")], None),
        ([(NOW, "pending", "event"), (NOW + 5, "accepted", "sweep")], None),
        ([(NOW, "pending", "event"), (NOW + 5, "wrapping", "event")], None),
        ([(NOW, "pending", "event"), (NOW + 5, "completed", "event")], None),
        ([(NOW, "pending", "event"), (NOW + 5, "rejected", "event")], None),
        ([], None),
    ],
)
def test_time_to_accept_is_known_only_if_times_of_creation_and_acceptance_were_reported(
    entries: list[tuple[int, str, str]], time: int | None
) -> None:
    history = [HistoryEntry(at=at, to=Status(to), by=by) for at, to, by in entries]
    assert time_to_accept(NOW, history, late_sources=("sweep", "reconcile")) == time
