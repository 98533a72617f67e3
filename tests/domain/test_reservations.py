"""Tables of Reservation statuses and their transitions."""

from chalicelib.domain.reservations import ACHIEVED, MOVES, OBSERVED, OPEN, RINGING, Status


def test_tables_contain_every_status() -> None:
    assert set(MOVES) == set(OBSERVED) == set(Status)


def test_every_move_can_also_be_observed() -> None:
    for status, targets in MOVES.items():
        assert targets <= OBSERVED[status]


def test_gone_is_the_only_final_status_that_can_change() -> None:
    final = set(Status) - OPEN - {Status.GONE}
    assert all(not OBSERVED[status] for status in final)
    assert OBSERVED[Status.GONE] == final


def test_observed_transitions_have_no_cycle() -> None:
    def reachable(start: Status) -> set[Status]:
        reached, queue = set(), [start]
        while queue:
            for status in OBSERVED[queue.pop()] - reached:
                reached.add(status)
                queue.append(status)
        return reached

    assert all(status not in reachable(status) for status in Status)


def test_every_requested_status_proves_that_the_request_succeeded() -> None:
    all_targets = {target for targets in MOVES.values() for target in targets}
    assert all_targets == set(ACHIEVED)
    assert all(target in statuses for target, statuses in ACHIEVED.items())


def test_ringing_lists_the_four_phone_instructions() -> None:
    assert set(RINGING) == {"dequeue", "call", "redirect", "conference"}
