"""Requests from the browser SDK that update the participants of a Task's conference."""

from collections.abc import Callable

from taskrouter_simulator.engine.call_model import Conference, Participant
from taskrouter_simulator.engine.calls import call_control, conferences
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Task
from taskrouter_simulator.event_bridge import payloads
from taskrouter_simulator.event_bridge.payloads import Payload
from taskrouter_simulator.event_bridge.request import SdkRequest


def update_customer(request: SdkRequest) -> Payload:
    """Hold or unhold the customer of the Worker's Task; `HoldUrl` has no effect."""
    task = request.own_task()
    conference, participant = _find(
        request, task, "the customer", lambda item: item.role == "customer"
    )
    hold = request.read("Hold").boolean("Hold")
    conferences.update(request.engine, conference, participant.call_sid, hold=hold)
    return payloads.task(request.engine, request.workspace, task)


def update_own(request: SdkRequest) -> Payload:
    """Update the Worker's own participant; `BeepOnExit` has no effect."""
    reservation = request.own_reservation()
    task = request.workspace.tasks[reservation.task_sid]
    conference, participant = _find_worker(request, task, reservation.worker_sid)
    parameters = request.read("Mute", "EndConferenceOnExit")
    conferences.update(
        request.engine,
        conference,
        participant.call_sid,
        muted=parameters.boolean("Mute"),
        end_conference_on_exit=parameters.boolean("EndConferenceOnExit"),
    )
    return payloads.updated_reservation(request.engine, request.workspace, reservation)


def hold_worker(request: SdkRequest) -> Payload:
    """Hold or unhold another Worker."""
    task = request.own_task()
    parameters = request.read("TargetWorkerSid", "Hold")
    target = parameters.required("TargetWorkerSid")
    conference, participant = _find_worker(request, task, target)
    hold = parameters.boolean("Hold")
    conferences.update(request.engine, conference, participant.call_sid, hold=hold)
    return payloads.task(request.engine, request.workspace, task)


def kick_worker(request: SdkRequest) -> Payload:
    """Remove another Worker from the conference."""
    task = request.own_task()
    target = request.read("TargetWorkerSid").required("TargetWorkerSid")
    _, participant = _find_worker(request, task, target)
    call_control.hang_up(request.engine, request.engine.calls[participant.call_sid])
    return payloads.task(request.engine, request.workspace, task)


def _find_worker(
    request: SdkRequest, task: Task, worker_sid: str
) -> tuple[Conference, Participant]:
    reservations = request.workspace.reservations

    def is_worker(participant: Participant) -> bool:
        call = request.engine.calls.get(participant.call_sid)
        reservation = reservations.get(call.reservation_sid) if call else None
        return reservation is not None and reservation.worker_sid == worker_sid

    return _find(request, task, f"Worker {worker_sid[:34]}", is_worker)


def _find(
    request: SdkRequest, task: Task, name: str, matches: Callable[[Participant], bool]
) -> tuple[Conference, Participant]:
    """Return the conference of a Task and the first participant that matches.

    Raises:
        BadRequest: There is no such participant.
    """
    conference = conferences.find(request.engine, task.sid)
    for participant in conference.participants.values() if conference else ():
        if conference and matches(participant):
            return conference, participant
    raise BadRequest(f"Task {task.sid} has no conference with {name}")
