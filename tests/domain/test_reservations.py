from chalicelib.domain.reservations import ACHIEVED, MOVES, OBSERVED, OPEN, Status


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
