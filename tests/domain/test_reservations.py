from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.reservations import ACHIEVED, MOVES, OBSERVED, OPEN, Status, next_check

NOW = 1_790_000_000_000


def test_tables_contain_every_status() -> None:
    assert set(MOVES) == set(OBSERVED) == set(Status)


def test_every_move_can_also_be_observed() -> None:
    for status, targets in MOVES.items():
        assert targets <= OBSERVED[status]


def test_only_gone_can_change_to_another_final_status() -> None:
    ended = set(Status) - OPEN - {Status.GONE}
    assert all(not OBSERVED[status] for status in ended)
    assert OBSERVED[Status.GONE] == ended


def test_observed_statuses_have_no_cycle() -> None:
    def reachable(start: Status) -> set[Status]:
        found, todo = set(), [start]
        while todo:
            for status in OBSERVED[todo.pop()] - found:
                found.add(status)
                todo.append(status)
        return found

    assert all(status not in reachable(status) for status in Status)


def test_every_target_has_achieving_statuses() -> None:
    asked_for = {target for targets in MOVES.values() for target in targets}
    assert asked_for == set(ACHIEVED)
    assert all(target in proof for target, proof in ACHIEVED.items())


@given(
    status=st.sampled_from(sorted(OPEN)),
    appointments=st.lists(st.integers(NOW - 10**9, NOW + 10**9), max_size=2),
    checks=st.integers(0, 10_000),
)
def test_open_reservation_is_checked_within_six_hours_or_at_an_appointment(
    status: Status, appointments: list[int], checks: int
) -> None:
    look = next_check(status, now=NOW, appointments=appointments, checks=checks)
    assert look is not None
    assert NOW < look <= max([NOW + 6 * 3_600_000, *appointments])


@given(st.sampled_from(sorted(OPEN)), st.lists(st.integers(NOW + 1, NOW + 10**9), min_size=1))
def test_next_check_is_not_later_than_an_appointment(
    status: Status, appointments: list[int]
) -> None:
    look = next_check(status, now=NOW, appointments=appointments, checks=0)
    assert look is not None
    assert look <= min(appointments)


@given(st.sampled_from(sorted(set(Status) - OPEN)))
def test_ended_reservation_is_never_checked(status: Status) -> None:
    assert next_check(status, now=NOW, appointments=[NOW + 1], checks=0) is None
