from chalicelib.domain.reservations import ACHIEVED, MOVES, OBSERVED, OPEN, RINGING, Status


def test_tables_contain_every_status() -> None:
    assert set(MOVES) == set(OBSERVED) == set(Status)


def test_every_move_can_also_be_observed() -> None:
    for status, targets in MOVES.items():
        assert targets <= OBSERVED[status]


def test_only_gone_can_change_to_another_final_status() -> None:
    ended = set(Status) - OPEN - {Status.GONE}
    assert all(not OBSERVED[status] for status in ended)
    assert OBSERVED[Status.GONE] == ended


def test_observed_transitions_have_no_cycle() -> None:
    def reachable(start: Status) -> set[Status]:
        found, todo = set(), [start]
        while todo:
            for status in OBSERVED[todo.pop()] - found:
                found.add(status)
                todo.append(status)
        return found

    assert all(status not in reachable(status) for status in Status)


def test_every_target_has_achieving_statuses() -> None:
    all_targets = {target for targets in MOVES.values() for target in targets}
    assert all_targets == set(ACHIEVED)
    assert all(target in proof for target, proof in ACHIEVED.items())


def test_instructions_that_ring_or_move_a_caller() -> None:
    assert set(RINGING) == {"dequeue", "call", "redirect", "conference"}
