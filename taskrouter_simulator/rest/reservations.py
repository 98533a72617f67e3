"""Handlers for Reservations, under the path of a Task or a Worker."""

import re
from typing import Any

from taskrouter_simulator.engine import assignments, instructions, reservations, workers
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.instruction_parameters import InstructionError
from taskrouter_simulator.engine.model import Reservation, ReservationStatus
from taskrouter_simulator.rest.request import Parameters, Request, Response, iso

UPDATE_PARAMETERS = (
    *("ReservationStatus", "WorkerActivitySid", "Instruction"),
    *("DequeuePostWorkActivitySid", "DequeueFrom", "DequeueRecord", "DequeueTimeout", "DequeueTo"),
    *("DequeueStatusCallbackUrl", "DequeueStatusCallbackEvent", "CallFrom", "CallRecord"),
    *("CallTimeout", "CallTo", "CallUrl", "CallStatusCallbackUrl", "CallAccept"),
    *("RedirectCallSid", "RedirectAccept", "RedirectUrl", "To", "From", "StatusCallback"),
    *("StatusCallbackMethod", "StatusCallbackEvent", "Timeout", "Record", "Muted", "Beep"),
    *("StartConferenceOnEnter", "EndConferenceOnExit", "WaitUrl", "WaitMethod", "EarlyMedia"),
    *("MaxParticipants", "ConferenceStatusCallback", "ConferenceStatusCallbackMethod"),
    *("ConferenceStatusCallbackEvent", "ConferenceRecord", "ConferenceTrim", "RecordingChannels"),
    *("RecordingStatusCallback", "RecordingStatusCallbackMethod"),
    *("ConferenceRecordingStatusCallback", "ConferenceRecordingStatusCallbackMethod", "Region"),
    *("SipAuthUsername", "SipAuthPassword", "PostWorkActivitySid"),
    *("EndConferenceOnCustomerExit", "BeepOnCustomerEntrance", "JitterBufferSize"),
)
"""Update parameters in Twilio's API description."""
UPDATE_LISTS = (
    "DequeueStatusCallbackEvent",
    "StatusCallbackEvent",
    "ConferenceStatusCallbackEvent",
)
"""Update parameters that may occur more than once in a request."""
SUPERVISE_PARAMETERS = ("SupervisorMode", "Supervisor")
"""Additional parameters of an update request whose path is under a Task."""
_PREFIXES = {"dequeue": "Dequeue", "call": "Call", "redirect": "Redirect"}
_RENAMED = {"DequeueStatusCallbackEvent": "status_callback_events"}
_REST_NAMES = {"status_callback_events": "StatusCallbackEvent", "activity_sid": "WorkerActivitySid"}
"""REST name, without prefix, of each instruction parameter that has a different name in REST."""


def render(request: Request, reservation: Reservation) -> dict[str, Any]:
    """Return a Reservation as JSON; its URL has the same parent as the request's URL."""
    workspace = request.workspace
    task = request.url(workspace.sid, "Tasks", reservation.task_sid)
    worker = request.url(workspace.sid, "Workers", reservation.worker_sid)
    parent = worker if "worker" in request.ids else task
    return {
        "account_sid": request.engine.account_sid,
        "date_created": iso(reservation.created),
        "date_updated": iso(reservation.updated),
        "reservation_status": reservation.status.value,
        "sid": reservation.sid,
        "task_sid": reservation.task_sid,
        "worker_name": reservation.worker_name,
        "worker_sid": reservation.worker_sid,
        "workspace_sid": workspace.sid,
        "url": f"{parent}/Reservations/{reservation.sid}",
        "links": {"task": task, "worker": worker, "workspace": request.url(workspace.sid)},
    }


def index(request: Request) -> Response:
    """List the Reservations of a Task or a Worker."""
    status = request.query.choice("ReservationStatus", ReservationStatus)
    worker_sid = request.query.sid("WorkerSid", "WK") if "task" in request.ids else None
    return request.page(
        "reservations",
        _parent_reservations(request).values(),
        render,
        keep=lambda reservation: (
            status in {None, reservation.status} and worker_sid in {None, reservation.worker_sid}
        ),
    )


def fetch(request: Request) -> Response:
    """Fetch a Reservation."""
    reservation = request.find(_parent_reservations(request), "sid")
    return Response(200, render(request, reservation), reservation.version)


def update(request: Request) -> Response:
    """Execute the `Instruction` or, without an instruction, set the `ReservationStatus`."""
    reservation = request.find(_parent_reservations(request), "sid")
    request.require_match(reservation)
    status = request.form.choice("ReservationStatus", ReservationStatus)
    if request.engine.settings.unknown_parameters == "refused":
        _require_applicable(request.form)
    if name := request.form.text("Instruction", allow_empty=False):
        _execute_instruction(request, reservation, name.lower())
    else:
        activity_sid = request.form.sid("WorkerActivitySid", "WA")
        if activity_sid:
            workers.require_activity(request.workspace, activity_sid, "WorkerActivitySid")
        _set_status(request, reservation, status, activity_sid)
    return Response(200, render(request, reservation), reservation.version)


def _set_status(
    request: Request,
    reservation: Reservation,
    status: ReservationStatus | None,
    activity_sid: str | None,
) -> None:
    engine, workspace = request.engine, request.workspace
    match status:
        case None:
            pass
        case ReservationStatus.ACCEPTED if engine.settings.accept_twice and (
            reservation.status is ReservationStatus.ACCEPTED
        ):
            pass
        case ReservationStatus.ACCEPTED:
            assignments.accept(engine, workspace, reservation)
        case ReservationStatus.REJECTED:
            reservations.reject(engine, workspace, reservation, activity_sid)
        case ReservationStatus.WRAPPING:
            assignments.wrap_reservation(engine, workspace, reservation)
        case ReservationStatus.COMPLETED:
            assignments.complete_reservation(engine, workspace, reservation)
        case _:
            raise BadRequest(f"ReservationStatus cannot be set to {status}")


def _execute_instruction(request: Request, reservation: Reservation, name: str) -> None:
    if name == "supervise" and "worker" in request.ids:
        raise BadRequest("The supervise instruction is available only under the path of a Task")
    try:
        instruction = _parse_instruction(request.form, name)
        instructions.execute(request.engine, request.workspace, reservation, instruction)
    except InstructionError as error:
        parameter = _rest_name(name, error.parameter)
        raise BadRequest(
            parameter + error.message.removeprefix(error.parameter), error.code
        ) from error


def _require_applicable(form: Parameters) -> None:
    """Reject parameters that do not apply to the requested instruction or status.

    Raises:
        BadRequest: A parameter does not apply.
    """
    instruction = (form.text("Instruction") or "").lower()
    status = (form.text("ReservationStatus") or "").lower()
    if instruction:
        names = {"Instruction", *_instruction_parameters(instruction)}
        request_description = f"the {instruction[:100]} instruction"
    else:
        names = {"ReservationStatus", *(["WorkerActivitySid"] if status == "rejected" else [])}
        request_description = (
            f"ReservationStatus {status}" if status else "a request without an Instruction"
        )
    for name in form.given():
        if name not in names:
            raise BadRequest(f"{name} does not apply to {request_description}")


def _instruction_parameters(name: str) -> list[str]:
    """Return the REST names of an instruction's parameters."""
    if prefix := _PREFIXES.get(name):
        return [key for key in UPDATE_PARAMETERS if key.startswith(prefix)]
    other_prefixes = ("ReservationStatus", *_PREFIXES.values())
    return {
        "accept": [],
        "reject": ["WorkerActivitySid"],
        "supervise": list(SUPERVISE_PARAMETERS),
        "conference": [key for key in UPDATE_PARAMETERS if not key.startswith(other_prefixes)],
    }.get(name, list(UPDATE_PARAMETERS))  # an unknown instruction is rejected later


def _parse_instruction(form: Parameters, name: str) -> dict[str, Any]:
    """Return the instruction in the format of an assignment callback's response."""
    prefix = _PREFIXES.get(name, "")
    instruction: dict[str, Any] = {}
    for key in form.given():
        if key.startswith(prefix) and key != "Instruction":
            words = re.findall("[A-Z][a-z0-9]*", key.removeprefix(prefix))
            parameter = _RENAMED.get(key, "_".join(words).lower())
            instruction[parameter] = ",".join(form.all(key))
    if name == "reject":
        instruction["activity_sid"] = form.text("WorkerActivitySid")
    return {**instruction, "instruction": name}


def _rest_name(instruction: str, parameter: str) -> str:
    """Return the REST name of an instruction's parameter."""
    name = _REST_NAMES.get(parameter, parameter.title().replace("_", ""))
    return _PREFIXES.get(instruction, "") + name if name else ""


def _parent_reservations(request: Request) -> dict[str, Reservation]:
    """Return the Reservations of the Task or Worker in the path, by SID."""
    workspace = request.workspace
    if "worker" in request.ids:
        worker = request.find(workspace.workers, "worker")
        all_reservations = workspace.reservations.values()
        return {item.sid: item for item in all_reservations if item.worker_sid == worker.sid}
    task = request.find(workspace.tasks, "task")
    return {item.sid: item for item in task.reservations}
