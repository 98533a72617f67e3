from hypothesis import given
from hypothesis import strategies as st

from chalicelib.domain.reservations import ACHIEVED, MOVES, OBSERVED, OPEN, Status, next_check

NOW = 1_790_000_000_000


def test_the_tables_speak_of_every_status() -> None:
    assert set(MOVES) == set(OBSERVED) == set(Status)


def test_what_may_be_asked_for_may_also_be_heard() -> None:
    for status, targets in MOVES.items():
        assert targets <= OBSERVED[status]


def test_an_end_stays_the_end_but_for_gone() -> None:
    ended = set(Status) - OPEN - {Status.GONE}
    assert all(not OBSERVED[status] for status in ended)
    assert OBSERVED[Status.GONE] == ended


def test_no_news_leads_back_to_where_a_record_has_been() -> None:
    def reachable(start: Status) -> set[Status]:
        found, todo = set(), [start]
        while todo:
            for status in OBSERVED[todo.pop()] - found:
                found.add(status)
                todo.append(status)
        return found

    assert all(status not in reachable(status) for status in Status)


def test_every_decision_has_its_proof() -> None:
    asked_for = {target for targets in MOVES.values() for target in targets}
    assert asked_for == set(ACHIEVED)
    assert all(target in proof for target, proof in ACHIEVED.items())


@given(
    status=st.sampled_from(sorted(OPEN)),
    appointments=st.lists(st.integers(NOW - 10**9, NOW + 10**9), max_size=2),
    checks=st.integers(0, 10_000),
)
def test_what_is_open_is_looked_at_again_in_the_future_and_within_six_hours_of_what_is_to_do(
    status: Status, appointments: list[int], checks: int
) -> None:
    look = next_check(status, now=NOW, appointments=appointments, checks=checks)
    assert look is not None
    assert NOW < look <= max([NOW + 6 * 3_600_000, *appointments])


@given(st.sampled_from(sorted(OPEN)), st.lists(st.integers(NOW + 1, NOW + 10**9), min_size=1))
def test_no_appointment_is_slept_through(status: Status, appointments: list[int]) -> None:
    look = next_check(status, now=NOW, appointments=appointments, checks=0)
    assert look is not None
    assert look <= min(appointments)


@given(st.sampled_from(sorted(set(Status) - OPEN)))
def test_what_has_ended_is_never_looked_at(status: Status) -> None:
    assert next_check(status, now=NOW, appointments=[NOW + 1], checks=0) is None
