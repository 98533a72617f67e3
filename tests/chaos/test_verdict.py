"""Each thing that can differ is found, and nothing else is."""

import pytest

from tests.chaos.floor import Heard, Told
from tests.chaos.truth import TrueReservation, Truth
from tests.chaos.verdict import differences

NOW = 1_790_000_000_000
ACCEPT = '{"instruction": "accept"}'


def truth(*statuses, **more):
    reservation = TrueReservation("WR1", "WT1", "WK1", statuses or ("pending", "accepted"))
    return Truth({"WR1": reservation}, **more)


def record(**changed):
    whole = {
        "reservation_sid": "WR1",
        "task_sid": "WT1",
        "worker_sid": "WK1",
        "status": "accepted",
        "open_as": "accepted",
        "due_at": NOW + 1,
        "answer": {},
        "history": [{"to": "pending", "by": "callback"}, {"to": "accepted", "by": "ann"}],
    } | changed
    return {name: value for name, value in whole.items() if value is not None}


def found(true=None, records=None, heard=None, log=""):
    records = {"WR1": record()} if records is None else records
    return differences(true or truth(), records, heard or Heard(), now=NOW, log=log)


def test_where_all_agrees_nothing_differs():
    heard = Heard(told=[Told("WR1", "assignment", "{}")], promises=[("WR1", "accept")])
    assert found(heard=heard) == []


def test_a_missing_reservation():
    (one,) = found(records={})
    assert one.startswith("missing: WR1 of Task WT1 is truly pending -> accepted")


def test_a_record_that_taskrouter_does_not_know():
    (one,) = found(records={"WR1": record(), "WR2": record(reservation_sid="WR2")})
    assert one == "unknown to TaskRouter: WR2"


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"status": "pending", "open_as": "pending"}, "another status"),
        ({"worker_sid": "WK2"}, "another Task or Worker"),
        ({"history": [{"to": "rejected", "by": "x"}]}, "another history"),
        ({"history": [{"to": "accepted", "by": "x"}, {"to": "pending", "by": "x"}]}, "another his"),
        ({"claim_until": NOW + 5}, "a claim is left"),
        ({"open_as": "pending"}, "in the wrong partition"),
        ({"due_at": None}, "never due"),
        ({"due_at": NOW}, "due in the past"),
    ],
)
def test_a_record_that_is_not_as_it_should_be(changed, complaint):
    (one,) = found(records={"WR1": record(**changed)})
    assert complaint in one
    assert "WR1 of Task WT1 is truly pending -> accepted" in one


def test_a_history_may_leave_out_what_nobody_heard():
    whole = truth("pending", "accepted", "wrapping", "completed")
    short = record(
        status="completed", open_as=None, due_at=None, history=[{"to": "completed", "by": "sweep"}]
    )
    assert found(whole, {"WR1": short}) == []


def test_a_task_that_was_accepted_twice():
    assert found(truth(accepts={"WT1": 2})) == ["Task WT1 was accepted 2 times"]
    other = TrueReservation("WR2", "WT1", "WK2", ("pending", "accepted"))
    both = Truth({**truth().reservations, "WR2": other})
    records = {"WR1": record(), "WR2": record(reservation_sid="WR2", worker_sid="WK2")}
    assert found(both, records) == ["Task WT1 was accepted 2 times"]


def test_a_key_that_has_created_two_tasks():
    assert found(truth(keys={"a": 2, "b": 1, "": 9})) == ["key a has created 2 Tasks"]


def test_a_promise_that_was_broken():
    (one,) = found(heard=Heard(promises=[("WR1", "reject")]))
    assert one.startswith("a promise broken: reject was answered 200")


def test_a_callback_that_was_answered_and_not_recorded():
    heard = Heard(told=[Told("WR1", "assignment", ACCEPT)])
    (one,) = found(records={"WR1": record(answer=None)}, heard=heard)
    assert one.startswith("answered 200 to the assignment of WR1, and not recorded; recorded pen")


def test_the_fallback_may_answer_without_a_record_if_it_says_so():
    heard = Heard(told=[Told("WR1", "fallback", ACCEPT)])
    records = {"WR1": record(answer=None)}
    assert len(found(records=records, heard=heard)) == 1
    assert found(records=records, heard=heard, log='{"UnrecordedReservation": 1, "x": "WR1"}') == []


def test_a_callback_that_came_too_late_to_matter_may_leave_nothing():
    heard = Heard(told=[Told("WR1", "assignment", "{}")])
    assert found(records={"WR1": record(answer=None)}, heard=heard) == []


def test_two_answers_to_one_callback():
    told = [Told("WR1", "assignment", "{}"), Told("WR1", "fallback", ACCEPT)]
    (one,) = found(heard=Heard(told=told))
    assert one.startswith("different answers to the callbacks of WR1")
