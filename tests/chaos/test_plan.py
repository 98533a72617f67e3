"""The seed determines the plan, which contains every decision, completion and process fault."""

import pytest

from tests.chaos.runner.plan import Connection, Decision, Plan, RequestFault


def plans(seed, rate=0.3, count=300):
    plan = Plan(seed, rate)
    return [(plan.reservation(number), plan.task_faults(number)) for number in range(count)]


def test_same_seed_gives_the_same_plan():
    assert plans(7) == plans(7)


def test_different_seeds_give_different_plans():
    assert plans(7) != plans(8)


def test_number_of_planned_faults_is_close_to_the_requested_number():
    planned = sum(
        len(reservation.request_faults) + bool(reservation.process_fault)
        for reservation, _ in plans(1, 0.3, 2000)
    )
    assert 500 < planned < 700


def test_plan_contains_all_decisions_completions_process_faults_and_connections():
    reservations = [reservation for reservation, _ in plans(3, 1.0, 2000)]
    assert len({reservation.decision for reservation in reservations}) == 9
    assert len({reservation.completion for reservation in reservations}) == 3
    assert len({reservation.process_fault for reservation in reservations} - {None}) == 7
    connections = {
        fault.connection for reservation in reservations for fault in reservation.request_faults
    }
    assert connections == set(Connection)


def test_plan_never_duplicates_the_creation_of_a_task():
    """The app cannot prevent TaskRouter from creating a Task for each duplicate request."""
    faults = {fault for _, task_faults in plans(3, 4.0, 2000) for fault in task_faults}
    assert faults
    assert "duplicated" not in {fault.effect for fault in faults}


@pytest.mark.parametrize(
    "decision", [Decision.ACCEPT_BY_PHONE, Decision.ACCEPT_BY_PHONE_AND_IN_TASKROUTER]
)
def test_plan_never_duplicates_an_instruction(decision):
    """TaskRouter executes each duplicate of an instruction."""
    faults = {
        (fault.connection, fault.effect)
        for reservation, _ in plans(3, 4.0, 2000)
        if reservation.decision is decision
        for fault in reservation.request_faults
    }
    assert (Connection.REST, "disconnected") in faults
    assert (Connection.REST, "duplicated") not in faults


def test_reservation_whose_answer_is_not_recorded_is_accepted_by_phone():
    decisions = {
        reservation.decision
        for reservation, _ in plans(3, 1.0, 2000)
        if any(fault.subjects == ("answer",) for fault in reservation.request_faults)
    }
    assert decisions == {Decision.ACCEPT_BY_PHONE}


def test_plan_contains_reconciliation_faults():
    plan = Plan(3, 0.3)
    faults = [fault for number in range(1000) for fault in plan.list_faults(number)]
    assert 150 < len(faults) < 350
    assert {fault.subjects for fault in faults} == {("list of Events",), ("list of Tasks",)}


def test_fault_name_describes_the_fault():
    disconnected = RequestFault(Connection.REST, "disconnected", after=True)
    assert disconnected.name == "TaskRouter's REST API: disconnected after taking effect"
    throttled = RequestFault(Connection.DATABASE, "error response", response=(400, "{}"))
    assert throttled.name == "DynamoDB: error response 400"
    late = RequestFault(Connection.CALLBACKS, "delivered late", seconds=3, subjects=("event",))
    assert late.name == "callbacks: event delivered late 3 s"
