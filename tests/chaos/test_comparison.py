"""Each kind of difference is found, and nothing else is reported."""

import pytest

from tests.chaos.runner.comparison import find_differences
from tests.chaos.runner.contact_center import CallbackResponse, Observations
from tests.chaos.runner.ground_truth import GroundTruth, TaskRouterReservation

NOW = 1_790_000_000_000
ACCEPT = '{"instruction": "accept"}'
CALL = '{"instruction": "call"}'


def ground_truth(*statuses, **attributes):
    statuses = statuses or ("pending", "accepted")
    reservation = TaskRouterReservation("WR1", "WT1", "WK1", statuses)
    return GroundTruth({"WR1": reservation}, **attributes)


def record(**changes):
    """Return a consistent record with the given changes; None removes an attribute."""
    attributes = {
        "reservation_sid": "WR1",
        "task_sid": "WT1",
        "worker_sid": "WK1",
        "status": "accepted",
        "open_as": "accepted",
        "due_at": NOW + 1,
        "answer": {},
        "history": [{"to": "pending", "by": "callback"}, {"to": "accepted", "by": "ann"}],
    } | changes
    return {name: value for name, value in attributes.items() if value is not None}


def differences(truth=None, records=None, observations=None, log=""):
    records = {"WR1": record()} if records is None else records
    return find_differences(
        truth or ground_truth(), records, observations or Observations(), now=NOW, log=log
    )


def test_consistent_records_have_no_differences():
    observations = Observations(
        callback_responses=[CallbackResponse("WR1", "assignment", "{}")],
        confirmed_decisions=[("WR1", "accept")],
    )
    assert differences(observations=observations) == []


def test_missing_record_is_reported():
    (difference,) = differences(records={})
    assert difference.startswith(
        "missing: WR1 (Task WT1, TaskRouter statuses: pending -> accepted)"
    )


def test_record_unknown_to_taskrouter_is_reported():
    records = {"WR1": record(), "WR2": record(reservation_sid="WR2")}
    (difference,) = differences(records=records)
    assert difference == "unknown to TaskRouter: WR2"


@pytest.mark.parametrize(
    ("changes", "description"),
    [
        ({"status": "pending", "open_as": "pending"}, "different status"),
        ({"worker_sid": "WK2"}, "different Task or Worker"),
        ({"history": [{"to": "rejected", "by": "x"}]}, "different history"),
        (
            {"history": [{"to": "accepted", "by": "x"}, {"to": "pending", "by": "x"}]},
            "different history",
        ),
        ({"claim_until": NOW + 5}, "claim not released"),
        ({"open_as": "pending"}, "wrong partition"),
        ({"due_at": None}, "never due"),
        ({"due_at": NOW}, "overdue"),
    ],
)
def test_inconsistent_record_is_reported(changes, description):
    (difference,) = differences(records={"WR1": record(**changes)})
    assert description in difference
    assert "WR1 (Task WT1, TaskRouter statuses: pending -> accepted)" in difference


def test_history_may_omit_unobserved_statuses():
    truth = ground_truth("pending", "accepted", "wrapping", "completed")
    completed = record(
        status="completed", open_as=None, due_at=None, history=[{"to": "completed", "by": "sweep"}]
    )
    assert differences(truth, {"WR1": completed}) == []


def test_task_accepted_twice_is_reported():
    expected = ["Task WT1 was accepted 2 times"]
    assert differences(ground_truth(accepts={"WT1": 2})) == expected
    second_reservation = TaskRouterReservation("WR2", "WT1", "WK2", ("pending", "accepted"))
    truth = GroundTruth({**ground_truth().reservations, "WR2": second_reservation})
    records = {"WR1": record(), "WR2": record(reservation_sid="WR2", worker_sid="WK2")}
    assert differences(truth, records) == expected


def test_key_that_created_two_tasks_is_reported():
    truth = ground_truth(tasks_by_key={"a": 2, "b": 1, "": 9})
    assert differences(truth) == ["key a created 2 Tasks"]


def test_wrong_confirmation_of_a_decision_is_reported():
    observations = Observations(confirmed_decisions=[("WR1", "reject")])
    (difference,) = differences(observations=observations)
    assert difference.startswith("wrong confirmation: the response to the reject request was 200")


def test_callback_without_a_recorded_answer_is_reported():
    responses = [CallbackResponse("WR1", "assignment", ACCEPT)]
    observations = Observations(callback_responses=responses)
    (difference,) = differences(records={"WR1": record(answer=None)}, observations=observations)
    assert difference.startswith(
        "the response to the assignment callback for WR1 was 200, but the callback was not "
        "recorded; record: pen"
    )


def test_fallback_callback_may_be_unrecorded_if_the_app_logs_the_metric():
    responses = [CallbackResponse("WR1", "fallback", ACCEPT)]
    observations = Observations(callback_responses=responses)
    records = {"WR1": record(answer=None)}
    log = '{"UnrecordedReservation": 1, "x": "WR1"}'
    assert len(differences(records=records, observations=observations)) == 1
    assert differences(records=records, observations=observations, log=log) == []


def test_record_may_omit_an_empty_answer():
    responses = [CallbackResponse("WR1", "assignment", "{}")]
    observations = Observations(callback_responses=responses)
    assert differences(records={"WR1": record(answer=None)}, observations=observations) == []


def test_different_answers_to_callbacks_for_one_reservation_are_reported():
    responses = [
        CallbackResponse("WR1", "assignment", "{}"),
        CallbackResponse("WR1", "fallback", ACCEPT),
    ]
    (difference,) = differences(observations=Observations(callback_responses=responses))
    assert difference.startswith("different answers to the callbacks for WR1")


@pytest.mark.parametrize(
    ("bodies", "is_unrecorded", "count"),
    [
        ([ACCEPT, "{}"], True, 0),
        ([ACCEPT, ACCEPT, "{}", "{}"], True, 0),
        ([ACCEPT, "{}"], False, 1),
        (["{}", ACCEPT], True, 1),
        ([ACCEPT, "{}", ACCEPT], True, 1),
        ([ACCEPT, CALL, "{}"], True, 1),
        ([ACCEPT, CALL], True, 1),
    ],
)
def test_answers_may_change_only_from_an_unrecorded_answer_to_an_empty_answer(
    bodies, is_unrecorded, count
):
    responses = [CallbackResponse("WR1", "fallback", body) for body in bodies]
    log = '{"UnrecordedReservation": 1, "x": "WR1"}' if is_unrecorded else ""

    found = differences(observations=Observations(callback_responses=responses), log=log)

    assert [text[:17] for text in found] == ["different answers"] * count


@pytest.mark.parametrize(
    ("instructions", "body", "expected"),
    [
        ({"WR1": 2}, "{}", ["2 instructions were sent for WR1"]),
        ({"WR1": 1}, CALL, ["2 instructions were sent for WR1"]),
        ({"WR1": 1}, "{}", []),
        ({}, CALL, []),
    ],
)
def test_instructions_are_reported_only_if_more_than_one_was_sent(instructions, body, expected):
    responses = [CallbackResponse("WR1", subject, body) for subject in ("assignment", "fallback")]
    truth = ground_truth(instructions=instructions)
    observed = Observations(callback_responses=responses)
    assert differences(truth=truth, observations=observed) == expected


def test_confirmed_instruction_that_did_not_reach_taskrouter_is_reported():
    observed = Observations(sent_instructions=["WR1"])
    (difference,) = differences(observations=observed)
    assert difference.startswith("wrong confirmation: no instruction for WR1 reached TaskRouter")
    assert differences(ground_truth(instructions={"WR1": 1}), observations=observed) == []
