"""Transfers of assigned Tasks to Workers and TaskQueues."""

import json
import urllib.error
from collections import Counter

import pytest

from taskrouter_simulator.engine import assignments, reservations, tasks, workers, workspaces
from taskrouter_simulator.engine.core import StatusCallback
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.history import Kind
from taskrouter_simulator.engine.instruction_parameters import InstructionError
from taskrouter_simulator.engine.instructions import execute
from taskrouter_simulator.engine.model import Configuration
from tests.simulator.call_simulation import NUMBER, WORKER_NUMBER, CallSimulation
from tests.simulator.conftest import Simulation

CONFERENCE = {"instruction": "conference", "to": WORKER_NUMBER, "from": NUMBER}
FIRST_URL = "http://first.example/"


class TransferSimulation(Simulation):
    """A Task that Alice has accepted in a multitasking Workspace; Bob is also available."""

    def __init__(self, **settings):
        super().__init__(**settings)
        self.workspace.multi_task_enabled = True
        self.task, self.accepted = self.offer_task()
        assignments.accept(self.engine, self.workspace, self.accepted)
        workers.set_attributes(self.engine, self.workspace, self.bob, self.alice.attributes)
        self.set_activity(self.bob, "Idle")
        self.queue_sid = self.task.queue_sid

    def transfer(self, to=None, mode="WARM"):
        started = tasks.transfer(
            self.engine, self.workspace, self.accepted, to=to or self.bob.sid, mode=mode
        )
        self.clock.run_due()
        return started

    @property
    def offered(self):
        """The newest Reservation."""
        return self.task.reservations[-1]

    @property
    def transfer_events(self):
        return [item.removeprefix("task.") for item in self.event_types("task.transfer-")]

    def other_queue(self, worker):
        """Create a TaskQueue, move a Worker to it, and return the TaskQueue."""
        workers.set_attributes(self.engine, self.workspace, worker, '{"team": "other"}')
        return workspaces.add_queue(
            self.engine, self.workspace, friendly_name="Other", target_workers='team == "other"'
        )

    def events(self):
        return list(self.workspace.events.values())

    def queue_counts(self):
        """Return how often Tasks entered each TaskQueue, and how often they moved out of it."""
        kinds = (Kind.TASK_ENTERED, Kind.TASK_MOVED)
        facts = [fact for fact in self.workspace.history.facts if fact.kind in kinds]
        counts = Counter((fact.queue_sid, fact.kind) for fact in facts)
        return {
            sid: tuple(counts[sid, kind] for kind in kinds)
            for sid in {fact.queue_sid for fact in facts}
        }

    def do(self, operation, *arguments):
        operation(self.engine, self.workspace, *arguments)
        self.clock.run_due()


def error_for(operation, *arguments, **options):
    with pytest.raises(BadRequest) as error:
        operation(*arguments, **options)
    return error.value.message


def test_transferred_task_is_offered_to_the_recipient():
    center = TransferSimulation()
    transfer = center.transfer()
    assert (center.offered.worker_sid, center.offered.status) == (center.bob.sid, "pending")
    assert (center.task.status, center.accepted.status) == ("reserved", "accepted")
    assert center.offered.transfer is transfer is center.task.transfer
    assert (transfer.status, transfer.kind, transfer.mode) == ("initiated", "WORKER", "WARM")
    assert transfer.sid.startswith("TT")
    assert center.accepted.transfer is None


def test_accepted_transfer_completes_and_both_workers_keep_the_task():
    center = TransferSimulation()
    transfer = center.transfer()
    center.do(assignments.accept, center.offered)
    assert (center.task.status, transfer.status) == ("assigned", "complete")
    assert [item.status for item in center.task.reservations] == ["accepted", "accepted"]
    assert center.transfer_events == ["transfer-initiated", "transfer-completed"]


def test_task_is_wrapping_if_one_reservation_is_completed_and_the_other_is_wrapping():
    center = TransferSimulation()
    center.transfer()
    center.do(assignments.accept, center.offered)
    center.do(assignments.wrap_reservation, center.accepted)
    assert center.task.status == "assigned"
    center.do(assignments.complete_reservation, center.offered)
    assert center.task.status == "wrapping"
    assert center.event_types("task.wrapup") == ["task.wrapup"]
    center.do(assignments.complete_reservation, center.accepted)
    assert center.task.status == "completed"


def test_transfer_event_has_parameters_of_transfer_and_task():
    center = TransferSimulation()
    transfer = center.transfer()
    event = next(
        event for event in center.workspace.events.values()
        if event.event_type == "task.transfer-initiated"
    )  # fmt: skip
    assert (event.resource_type, event.resource_sid) == ("transfer", transfer.sid)
    assert event.description == f"Transfer {transfer.sid} initiated"
    assert event.parameters.items() >= {
        "ResourceType": "transfer", "ResourceSid": transfer.sid, "TaskSid": center.task.sid,
        "TaskAssignmentStatus": "pending", "TaskQueueSid": center.queue_sid,
        "WorkflowSid": center.task.workflow_sid, "TransferSid": transfer.sid,
        "TransferMode": "WARM", "TransferStatus": "initiated", "TransferTo": center.bob.sid,
        "TransferType": "WORKER", "TransferInitiatingReservationSid": center.accepted.sid,
        "TransferInitiatingWorkerSid": center.alice.sid,
    }.items()  # fmt: skip


@pytest.mark.parametrize("end", [reservations.reject, reservations.time_out])
def test_transfer_to_worker_fails_if_the_worker_rejects_or_does_not_respond(end):
    center = TransferSimulation()
    transfer = center.transfer()
    center.do(end, center.offered)
    assert (center.task.status, transfer.status) == ("assigned", "failed")
    assert center.accepted.status == "accepted"
    assert center.transfer_events == ["transfer-initiated", "transfer-failed"]
    assert len(center.task.reservations) == 2


def test_transfer_to_queue_is_offered_again_after_rejection():
    center = TransferSimulation()
    transfer = center.transfer(center.queue_sid)
    assert (center.offered.worker_sid, transfer.kind) == (center.bob.sid, "QUEUE")
    first = center.offered
    center.do(reservations.reject, first)
    assert (center.task.status, transfer.status) == ("pending", "initiated")
    assert center.transfer_events == ["transfer-initiated", "transfer-attempt-failed"]
    center.clock.advance(1)
    assert (center.offered.worker_sid, center.offered is first) == (center.bob.sid, False)
    assert center.offered.transfer is transfer
    center.do(assignments.accept, center.offered)
    assert center.transfer_events[2:] == ["transfer-completed"]


def test_task_is_not_offered_to_the_worker_who_transfers_it():
    center = TransferSimulation()
    center.set_activity(center.bob, "Offline")
    center.workspace.workers[center.alice.sid].channels[center.task.channel_sid].capacity = 5
    center.transfer(center.queue_sid)
    center.clock.advance(86_000)
    assert center.task.reservations == [center.accepted]


def test_transfer_to_another_queue_moves_the_task():
    center = TransferSimulation()
    other = next(sid for sid in center.workspace.queues if sid != center.queue_sid)
    center.clock.advance(7)
    center.transfer(other)
    assert center.task.queue_sid == other
    assert center.task.queue_entered == center.engine.now()
    assert center.queue_counts() == {center.queue_sid: (1, 1), other: (1, 0)}
    moved = ["task-queue.moved", "task-queue.entered", "task.transfer-initiated"]
    assert center.event_types("task")[-3:] == moved
    (event,) = (item for item in center.events() if item.event_type == "task-queue.moved")
    assert event.parameters["TaskAssignmentStatus"] == "pending"


def test_task_stays_in_its_queue_if_the_recipient_is_a_member():
    center = TransferSimulation()
    newest = workspaces.add_queue(center.engine, center.workspace, friendly_name="Newest")
    center.transfer(newest.sid)
    center.do(assignments.accept, center.offered)
    center.accepted = center.offered
    center.transfer(center.alice.sid)
    assert (center.task.queue_sid, center.offered.queue_sid) == (newest.sid, newest.sid)


def test_task_moves_to_the_oldest_queue_of_the_recipient():
    center = TransferSimulation()
    oldest = center.other_queue(center.bob)
    workspaces.add_queue(center.engine, center.workspace, friendly_name="Newest")
    center.transfer()
    assert center.task.queue_sid == oldest.sid


def test_transfer_within_the_queue_does_not_count_as_a_move():
    center = TransferSimulation()
    center.clock.advance(7)
    center.transfer(center.queue_sid)
    assert center.task.queue_entered == center.engine.now()
    assert center.queue_counts() == {center.queue_sid: (1, 0)}
    assert center.event_types("task-queue.entered") == ["task-queue.entered"]


@pytest.mark.parametrize("setting", [True, False])
@pytest.mark.parametrize("to_worker", [True, False])
def test_only_a_transfer_to_a_worker_ignores_activity_and_only_if_configured(setting, to_worker):
    center = TransferSimulation(transfer_ignores_capacity=setting)
    center.set_activity(center.bob, "Offline")
    center.transfer(center.bob.sid if to_worker else center.queue_sid)
    is_offered = center.offered is not center.accepted
    assert is_offered == (setting and to_worker)


def test_worker_wraps_up_after_cold_transfer():
    center = TransferSimulation()
    center.transfer(mode="COLD")
    assert (center.accepted.status, center.task.status) == ("wrapping", "reserved")
    center.do(assignments.accept, center.offered)
    assert (center.accepted.status, center.task.status) == ("wrapping", "assigned")
    assert "task.wrapup" not in center.event_types()
    center.do(assignments.complete_reservation, center.accepted)
    assert (center.accepted.status, center.task.status) == ("completed", "assigned")
    center.do(assignments.complete_reservation, center.offered)
    assert center.task.status == "completed"
    assert center.event_types("task.completed") == ["task.completed"]


def test_task_is_wrapping_when_its_last_worker_wraps_up():
    center = TransferSimulation()
    center.transfer()
    center.do(assignments.accept, center.offered)
    center.do(assignments.wrap_reservation, center.accepted)
    assert (center.accepted.status, center.task.status) == ("wrapping", "assigned")
    center.do(assignments.wrap_reservation, center.offered)
    assert (center.offered.status, center.task.status) == ("wrapping", "wrapping")
    assert center.event_types("task.wrapup") == ["task.wrapup"]
    center.do(assignments.complete, center.task)
    assert {item.status for item in center.task.reservations} == {"completed"}


def test_worker_can_complete_their_reservation_during_a_transfer():
    center = TransferSimulation()
    center.transfer()
    center.do(assignments.complete_reservation, center.accepted)
    assert (center.accepted.status, center.task.status) == ("completed", "reserved")
    center.do(assignments.accept, center.offered)
    assert center.task.status == "assigned"


def test_failed_cold_transfer_leaves_task_wrapping():
    center = TransferSimulation()
    center.transfer(mode="COLD")
    center.do(reservations.reject, center.offered)
    assert (center.task.status, center.task.transfer.status) == ("wrapping", "failed")


def test_task_without_worker_is_routed_again_after_failed_transfer():
    center = TransferSimulation()
    center.transfer()
    center.do(assignments.complete_reservation, center.accepted)
    center.do(reservations.reject, center.offered)
    assert center.task.transfer.status == "failed"
    center.clock.advance(1)
    assert center.task.status == "reserved"
    assert center.offered.transfer is None


def test_canceled_transfer_returns_task_to_worker():
    center = TransferSimulation()
    transfer = center.transfer()
    tasks.cancel_transfer(center.engine, center.workspace, center.task, transfer)
    center.clock.run_due()
    assert (center.task.status, transfer.status) == ("assigned", "canceled")
    assert (center.offered.status, center.accepted.status) == ("canceled", "accepted")
    assert center.transfer_events == ["transfer-initiated", "transfer-canceled"]
    message = error_for(
        tasks.cancel_transfer, center.engine, center.workspace, center.task, transfer
    )
    expected = f"Transfer {transfer.sid} is already canceled . Cannot cancel transfer."
    assert message == expected
    second = center.transfer()
    assert error_for(
        tasks.cancel_transfer, center.engine, center.workspace, center.task, transfer
    ) == expected  # fmt: skip
    assert second.status == "initiated"


def cancel_transfer(engine, workspace, reservation):
    task = workspace.tasks[reservation.task_sid]
    tasks.cancel_transfer(engine, workspace, task, task.transfer)


@pytest.mark.parametrize("end", [reservations.reject, reservations.time_out, cancel_transfer])
def test_task_returns_to_its_queue_when_the_transfer_fails_or_is_canceled(end):
    center = TransferSimulation()
    step, entered = center.task.step, center.task.queue_entered
    other = center.other_queue(center.bob)
    center.clock.advance(7)
    center.transfer()
    assert (center.task.queue_sid, center.task.ignore_capacity) == (other.sid, True)
    center.clock.advance(5)
    center.do(end, center.offered)
    assert (center.task.status, center.task.queue_sid) == ("assigned", center.queue_sid)
    assert (center.task.step, center.task.queue_entered) == (step, entered)
    assert center.task.ignore_capacity is False
    assert center.task.updated == center.engine.now()
    assert center.queue_counts() == {center.queue_sid: (2, 1), other.sid: (1, 1)}
    assert center.event_types("task-queue.moved") == ["task-queue.moved"] * 2
    workspaces.delete_queue(center.engine, center.workspace, other)


def test_queue_to_which_a_task_may_return_cannot_be_deleted():
    center = TransferSimulation()
    (workflow,) = center.workspace.workflows.values()
    workflow.configuration = Configuration()
    center.other_queue(center.bob)
    center.transfer()
    queue = center.workspace.queues[center.queue_sid]
    message = f"TaskQueue {queue.sid} is in use and cannot be deleted"
    assert error_for(workspaces.delete_queue, center.engine, center.workspace, queue) == message
    center.do(assignments.accept, center.offered)
    workspaces.delete_queue(center.engine, center.workspace, queue)
    assert queue.sid not in center.workspace.queues


def test_task_without_worker_is_routed_again_after_canceled_transfer():
    center = TransferSimulation()
    transfer = center.transfer()
    center.do(assignments.complete_reservation, center.accepted)
    tasks.cancel_transfer(center.engine, center.workspace, center.task, transfer)
    assert center.task.status == "pending"
    center.clock.run_due()
    assert center.task.status == "reserved"
    assert (center.offered.worker_sid, center.offered.transfer) == (center.bob.sid, None)


@pytest.mark.parametrize("operation", [assignments.cancel, assignments.delete])
def test_transfer_fails_when_task_is_canceled_or_deleted(operation):
    center = TransferSimulation()
    transfer = center.transfer()
    center.do(operation, center.task)
    assert transfer.status == "failed"
    assert center.transfer_events == ["transfer-initiated", "transfer-failed"]
    assert [item.status for item in center.task.reservations] == ["completed", "canceled"]


def test_reevaluation_does_not_reroute_a_transferred_task():
    center = TransferSimulation()
    center.transfer()
    workflow = center.workspace.workflows[center.task.workflow_sid]
    tasks.reevaluate(center.engine, center.workspace, workflow)
    center.clock.run_due()
    assert (center.offered.status, center.task.status) == ("pending", "reserved")
    assert center.offered.transfer is center.task.transfer


def test_only_assigned_task_of_accepted_reservation_can_be_transferred():
    center = TransferSimulation()
    center.transfer()
    message = f"Cannot transfer task {center.task.sid} because it is not currently assigned."
    assert error_for(center.transfer) == message
    center.do(assignments.accept, center.offered)
    center.accepted = center.offered
    center.do(assignments.wrap_reservation, center.accepted)
    assert error_for(center.transfer, center.alice.sid) == message


@pytest.mark.parametrize("to", ["WK" + "0" * 70, "", "alice"])
def test_task_can_be_transferred_only_to_another_worker_or_a_queue(to):
    center = TransferSimulation()
    for recipient in (to or "x", center.alice.sid, center.task.workflow_sid):
        message = f"Cannot transfer to {recipient[:50]}: specify a different Worker or a TaskQueue"
        assert error_for(center.transfer, recipient) == message
    assert (center.task.status, center.task.transfer) == ("assigned", None)


@pytest.mark.parametrize(
    ("name", "is_allowed"),
    [("accept", True), ("reject", True), ("conference", True), ("dequeue", False), ("call", False),
     ("redirect", False)],
)  # fmt: skip
def test_transferred_task_allows_only_some_instructions(name, is_allowed):
    center = TransferSimulation()
    tasks.update(center.engine, center.workspace, center.task, attributes=json.dumps(
        {"selected_language": "es", "call_sid": "CA" + "5" * 32, "to": NUMBER}
    ))  # fmt: skip
    center.transfer()
    instruction = {
        "instruction": name, "to": WORKER_NUMBER, "from": NUMBER, "url": "http://a/",
        "call_sid": "CA" + "5" * 32,
    }  # fmt: skip
    if is_allowed:
        execute(center.engine, center.workspace, center.offered, instruction)
        assert center.offered.status == ("rejected" if name == "reject" else "accepted")
        return
    with pytest.raises(InstructionError) as error:
        execute(center.engine, center.workspace, center.offered, instruction)
    message = f"The {name} instruction is not available for a transferred Task"
    assert (error.value.code, error.value.message) == (40151, message)
    assert center.offered.status == "pending"


@pytest.fixture
def simulation():
    """A simulation with a conference between a caller and Alice; Bob is available."""
    simulation = CallSimulation(
        {**CONFERENCE, "conference_status_callback": FIRST_URL,
         "conference_status_callback_event": "join"}
    )  # fmt: skip
    simulation.workspace.multi_task_enabled = True
    simulation.call = simulation.place_call("1")
    simulation.make_alice_idle()
    workers.set_attributes(
        simulation.engine, simulation.workspace, simulation.bob, simulation.alice.attributes
    )
    simulation.set_activity(simulation.bob, "Idle")
    simulation.accepted = simulation.reservation_of(simulation.call)
    simulation.alices_leg = simulation.worker_leg()
    (simulation.conference,) = simulation.engine.conferences.values()
    return simulation


def transfer_call(simulation, mode):
    tasks.transfer(
        simulation.engine, simulation.workspace, simulation.accepted,
        to=simulation.bob.sid, mode=mode,
    )  # fmt: skip
    simulation.run()


def test_second_worker_joins_the_conference_after_warm_transfer(simulation):
    transfer_call(simulation, "WARM")
    bobs_leg = simulation.worker_leg()
    assert list(simulation.conference.participants) == [
        simulation.alices_leg.sid, simulation.call.sid, bobs_leg.sid
    ]  # fmt: skip
    attributes = simulation.attributes_of(simulation.call)["conference"]
    assert attributes["participants"] == {"worker": bobs_leg.sid, "customer": simulation.call.sid}
    assert attributes["sid"] == simulation.conference.sid
    simulation.hang_up(simulation.alices_leg)
    task = simulation.task_of(simulation.call)
    assert (simulation.accepted.status, task.status) == ("wrapping", "assigned")
    simulation.hang_up(bobs_leg)
    assert [item.status for item in task.reservations] == ["wrapping", "wrapping"]
    assert task.status == "wrapping"


def test_only_first_participant_sets_the_callback_of_the_conference(simulation):
    simulation.instruction = {
        **CONFERENCE, "conference_status_callback": "http://second.example/",
        "conference_status_callback_event": "join,leave,end",
    }  # fmt: skip
    transfer_call(simulation, "WARM")
    assert len(simulation.conference.participants) == 3
    assert simulation.conference.subscription.url == FIRST_URL
    urls = [effect.url for effect in simulation.effects if isinstance(effect, StatusCallback)]
    assert urls == [FIRST_URL] * 3  # two participants join before the transfer, and one afterward


def test_worker_leaves_the_conference_after_cold_transfer(simulation):
    transfer_call(simulation, "COLD")
    assert simulation.alices_leg.status == "completed"
    assert simulation.alices_leg.steps[-1]["why"] == "the Worker has transferred the Task"
    bobs_leg = simulation.worker_leg()
    assert list(simulation.conference.participants) == [simulation.call.sid, bobs_leg.sid]
    assert simulation.accepted.status == "wrapping"
    assert simulation.task_of(simulation.call).status == "assigned"


def test_task_is_canceled_if_caller_hangs_up_during_a_transfer(simulation):
    simulation.instruction = {}
    transfer_call(simulation, "COLD")
    task = simulation.task_of(simulation.call)
    assert task.status == "reserved"
    simulation.hang_up(simulation.call)
    assert (task.status, task.transfer.status) == ("canceled", "failed")
    assert [item.status for item in task.reservations] == ["completed", "canceled"]


def test_cold_transfer_ends_conference_that_ends_when_the_worker_leaves(simulation):
    simulation.conference.participants[simulation.alices_leg.sid].end_conference_on_exit = True
    transfer_call(simulation, "COLD")
    task = simulation.task_of(simulation.call)
    assert simulation.conference.has_ended
    assert simulation.call.status == "completed"
    assert simulation.event_types("reservation.wrapup") == ["reservation.wrapup"]
    assert task.status in {"canceled", "completed"}


# Over the control routes


@pytest.fixture
def accepted_reservation(taskrouter, workspace):
    """One Worker's Reservation, accepted with Twilio's SDK. The other Worker is available."""
    for name in ("Alice", "Bob"):
        workspace.workers(taskrouter.workers[name]).update(
            activity_sid=taskrouter.activities["Idle"], attributes='{"languages": ["en", "es"]}'
        )
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    taskrouter.advance()
    (reservation,) = task.reservations.list()
    reservation.update(reservation_status="accepted")
    return reservation


def recipient_of(taskrouter, reservation):
    return next(sid for sid in taskrouter.workers.values() if sid != reservation.worker_sid)


def test_control_routes_describe_a_transfer(taskrouter, workspace, accepted_reservation):
    to = recipient_of(taskrouter, accepted_reservation)
    transfer = taskrouter.transfer(accepted_reservation.sid, to)
    assert transfer == {
        "sid": transfer["sid"], "status": "initiated", "mode": "WARM", "type": "WORKER", "to": to,
        "task_sid": accepted_reservation.task_sid,
        "initiating_reservation_sid": accepted_reservation.sid,
        "initiating_worker_sid": accepted_reservation.worker_sid,
    }  # fmt: skip
    offered = workspace.tasks(accepted_reservation.task_sid).reservations.list()[-1]
    assert (offered.worker_sid, offered.reservation_status) == (to, "pending")
    offered.update(reservation_status="accepted")
    fetched = taskrouter._request("GET", f"/transfers/{transfer['sid']}")
    assert fetched == {**transfer, "status": "complete"}
    offered.update(reservation_status="wrapping")
    assert workspace.tasks(accepted_reservation.task_sid).fetch().assignment_status == "assigned"
    offered.update(reservation_status="completed")
    assert workspace.tasks(accepted_reservation.task_sid).fetch().assignment_status == "assigned"
    accepted_reservation.update(reservation_status="completed")
    assert workspace.tasks(accepted_reservation.task_sid).fetch().assignment_status == "completed"


def test_transfer_is_canceled_over_control_routes(taskrouter, workspace, accepted_reservation):
    transfer = taskrouter.transfer(
        accepted_reservation.sid, recipient_of(taskrouter, accepted_reservation), "COLD"
    )
    assert transfer["mode"] == "COLD"
    canceled = taskrouter.cancel_transfer(transfer["sid"])
    assert canceled == {**transfer, "status": "canceled"}
    assert workspace.tasks(accepted_reservation.task_sid).fetch().assignment_status == "wrapping"


def error_over_http(taskrouter, path, **body):
    """Send an invalid control request; return the status and the error message."""
    with pytest.raises(urllib.error.HTTPError) as error:
        taskrouter._request("POST", path, body)
    (message,) = error.value.__notes__
    return error.value.code, message


def test_invalid_transfer_is_rejected_with_reason(taskrouter, accepted_reservation):
    valid = {
        "reservation_sid": accepted_reservation.sid,
        "to": recipient_of(taskrouter, accepted_reservation),
    }
    for mode in ("warm", None, 7, []):
        expected = (400, "mode must be one of WARM, COLD")
        assert error_over_http(taskrouter, "/transfers", **valid, mode=mode) == expected
    for sid in (None, "WR0", 7):
        body = {**valid, "reservation_sid": sid}
        expected = (400, "reservation_sid must be the SID of an existing Reservation")
        assert error_over_http(taskrouter, "/transfers", **body) == expected
    message = "Cannot transfer to None: specify a different Worker or a TaskQueue"
    assert error_over_http(taskrouter, "/transfers", reservation_sid=accepted_reservation.sid) == (
        400,
        message,
    )
    missing = (404, f"transfer {'T' * 50} does not exist")
    assert error_over_http(taskrouter, f"/transfers/{'T' * 60}", status="canceled") == missing


def test_transfer_can_be_canceled_only_once(taskrouter, accepted_reservation):
    sid = taskrouter.transfer(
        accepted_reservation.sid, recipient_of(taskrouter, accepted_reservation)
    )["sid"]
    for status in ("failed", None):
        expected = (400, 'the body must be {"status": "canceled"}')
        assert error_over_http(taskrouter, f"/transfers/{sid}", status=status) == expected
    taskrouter.cancel_transfer(sid)
    message = f"Transfer {sid} is already canceled . Cannot cancel transfer."
    assert error_over_http(taskrouter, f"/transfers/{sid}", status="canceled") == (400, message)
