"""Validates and executes assignment instructions from callback responses and REST.

If the Task's `call_sid` belongs to a call placed in the simulator, the `calls` package connects
that call with the Worker. For any other Task, the Worker answers immediately. For parameters and
error codes, see https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks and
https://www.twilio.com/docs/api/errors.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from taskrouter_simulator.engine import assignments, reservations
from taskrouter_simulator.engine.call_model import StatusSubscription
from taskrouter_simulator.engine.calls import call_control, call_tasks, conferences
from taskrouter_simulator.engine.calls.call_control import WorkerCall
from taskrouter_simulator.engine.conference_parameters import read_conference, read_supervisor
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.instruction_parameters import (
    COMPLETED,
    InstructionError,
    Parameters,
    check_choice,
    check_sid,
    check_url,
    get_or_default,
    missing,
    missing_attribute,
    read_activity,
    read_contact,
    read_events,
    read_flag,
    read_integer,
)
from taskrouter_simulator.engine.model import (
    HELD,
    Reservation,
    ReservationStatus,
    Task,
    Workspace,
    parse_attributes,
)

NO_INSTRUCTION = 40005
INVALID_INSTRUCTION = 55555
CALLER_GONE = 40144
NO_CONFERENCE = 40149
TRANSFERRED = 40151
_TRANSFER_INSTRUCTIONS = ("accept", "reject", "conference", "supervise")
_RECORD = {"do-not-record", "record-from-answer"}
_MAX_SECONDS = 999
_MAX_SIP_SECONDS = 600


def handle_response(
    engine: Engine, workspace_sid: str, reservation_sid: str, response: Parameters
) -> None:
    """Execute the instruction in an assignment callback's response, or emit an alert.

    Args:
        engine: The engine.
        workspace_sid: WS… SID.
        reservation_sid: WR… SID of the callback's Reservation, which may no longer exist.
        response: The JSON object of the response; an empty object defers the decision.
    """
    if not response:
        return
    details = {"reservation_sid": reservation_sid}
    if "instruction" not in response:
        engine.alert(NO_INSTRUCTION, "The response has no instruction", details, "warning")
        return
    workspace = engine.workspaces.get(workspace_sid)
    reservation = workspace.reservations.get(reservation_sid) if workspace else None
    try:
        if workspace is None or reservation is None:
            message = f"Reservation {reservation_sid} no longer exists"
            raise InstructionError(engine.settings.not_pending_code, message)
        execute(engine, workspace, reservation, response)
    except InstructionError as error:
        engine.alert(error.code, error.message, details)


def execute(
    engine: Engine, workspace: Workspace, reservation: Reservation, parameters: Parameters
) -> None:
    """Execute an instruction.

    Args:
        engine: The engine.
        workspace: The Workspace.
        reservation: The Reservation.
        parameters: `instruction` and its parameters, keyed by JSON name.

    Raises:
        InstructionError: The instruction is invalid or cannot be executed; nothing has changed.
    """
    name = parameters.get("instruction")
    instruction = _INSTRUCTIONS.get(name) if isinstance(name, str) else None
    if instruction is None:
        raise InstructionError(INVALID_INSTRUCTION, f"Invalid instruction {str(name)[:100]}")
    if reservation.transfer and name not in _TRANSFER_INSTRUCTIONS:
        message = f"The {name} instruction is not available for a transferred Task"
        raise InstructionError(TRANSFERRED, message)
    if reservation.status not in instruction.statuses:
        action = f"execute {str(name).capitalize()} instruction"
        code = instruction.status_code or engine.settings.not_pending_code
        if name == "conference" and reservation.status is ReservationStatus.CANCELED:
            code = CALLER_GONE
        message = reservations.not_pending_message(reservation, action)
        if name == "supervise":
            message = f"Unable to {action}. Reservation {reservation.sid} is {reservation.status}."
        raise InstructionError(code, message)
    try:
        instruction.execute(InstructionContext(engine, workspace, reservation, parameters))
    except BadRequest as error:
        raise InstructionError(error.code, error.message) from error


@dataclass(frozen=True)
class InstructionContext:
    """The state that an instruction acts on, with operations that instructions share."""

    engine: Engine
    workspace: Workspace
    reservation: Reservation
    parameters: Parameters

    @property
    def task(self) -> Task:
        """The Task of the Reservation."""
        return self.workspace.tasks[self.reservation.task_sid]

    @property
    def task_attributes(self) -> dict[str, Any]:
        """The Task's attributes as an object."""
        return parse_attributes(self.task.attributes)

    @property
    def contact_uri(self) -> Any:
        """The Worker's address, used unless the instruction specifies a different address."""
        worker = self.workspace.workers[self.reservation.worker_sid]
        return parse_attributes(worker.attributes).get("contact_uri")

    def accept(self) -> None:
        """Accept the Reservation."""
        assignments.accept(self.engine, self.workspace, self.reservation)

    def call_worker(
        self, to: str, caller_id: str, code: int, status_callback: StatusSubscription | None
    ) -> WorkerCall:
        """Create a leg to the Worker.

        Args:
            to: Phone number or client to call.
            caller_id: Phone number or client shown to the Worker.
            code: Error code used if the caller is no longer waiting.
            status_callback: Subscription to the progress of the leg, if any.

        Raises:
            InstructionError: The caller is no longer waiting.
        """
        try:
            return call_control.create_worker_call(
                self.engine,
                self.workspace,
                self.reservation,
                call_sid=self.task_attributes.get("call_sid"),
                to=to,
                caller_id=caller_id,
                status_callback=status_callback,
            )
        except BadRequest as error:
            raise InstructionError(code, error.message) from error

    def subscription(
        self, events: frozenset[str], method: str, name: str = "status_callback_url"
    ) -> StatusSubscription | None:
        """Return the subscription to the progress of a `dequeue` or `call` leg, if any."""
        url = self.parameters.get(name)
        call_sid = self.task_attributes.get("call_sid")
        # https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks
        parameters = {"taskCallSid": call_sid} if isinstance(call_sid, str) else {}
        return StatusSubscription(url, method, events, parameters) if url else None


def _reject(context: InstructionContext) -> None:
    activity_sid = read_activity(context.workspace, context.parameters, "activity_sid", 40100)
    if activity_sid is None and not context.engine.settings.reject_without_activity:
        raise missing(40100, "activity_sid")
    reservations.reject(context.engine, context.workspace, context.reservation, activity_sid)


def _dequeue(context: InstructionContext) -> None:
    parameters, attributes = context.parameters, context.task_attributes
    post_work = read_activity(context.workspace, parameters, "post_work_activity_sid", 40130)
    if not isinstance(attributes.get("call_sid"), str):
        raise missing_attribute(40140, "call_sid")
    to = read_contact(get_or_default(parameters, "to", context.contact_uri), "to", 40131)
    caller_id = read_contact(
        get_or_default(parameters, "from", attributes.get("to")), "from", 40132
    )
    check_choice(parameters, "record", _RECORD, 40133)
    is_sip = to.lower().startswith(("sip:", "sips:"))
    max_seconds = _MAX_SIP_SECONDS if is_sip else _MAX_SECONDS
    seconds = read_integer(parameters, "timeout", 1, max_seconds, 40133)
    check_url(parameters, "status_callback_url", 40157)
    events = read_events(parameters, "status_callback_events", 40134)
    call = context.call_worker(to, caller_id, 40133, context.subscription(events, "GET"))
    call_tasks.add_attributes(context.engine, context.task, worker_call_sid=call.leg.sid)
    context.reservation.post_work_activity_sid = post_work
    call_control.ring_and_connect(
        call,
        seconds or call_control.RING_SECONDS,
        partial(call_tasks.connect, context.engine, call.caller, call.leg, "dequeue"),
    )


def _call(context: InstructionContext) -> None:
    parameters = context.parameters
    to = read_contact(get_or_default(parameters, "to", context.contact_uri), "to", 40110)
    if re.fullmatch("[A-Za-z_][^:]*", to):  # the name of a Client
        to = f"client:{to}"
    caller_id = read_contact(parameters.get("from"), "from", 40111)
    check_url(parameters, "url", 40112, required=True)
    check_choice(parameters, "record", _RECORD, 40113)
    seconds = read_integer(parameters, "timeout", 1, _MAX_SECONDS, 40113)
    check_url(parameters, "status_callback_url", 40158)
    accept = read_flag(parameters, "accept", 40113)
    method = context.engine.settings.call_status_callback_method.upper()
    call = context.call_worker(to, caller_id, 40113, context.subscription(COMPLETED, method))
    call_tasks.add_attributes(context.engine, context.task, worker_call_sid=call.leg.sid)
    seconds = seconds or call_control.RING_SECONDS
    call_control.ring_and_run(call, parameters["url"], seconds, accept=accept)


def _redirect(context: InstructionContext) -> None:
    parameters = context.parameters
    check_url(parameters, "url", 40120, required=True)
    check_sid(parameters, "call_sid", "CA", 40121)
    accept = read_flag(parameters, "accept", 40122)
    try:
        call_control.redirect(context.engine, parameters["call_sid"], parameters["url"])
    except BadRequest as error:
        raise InstructionError(40122, error.message) from error
    if accept:
        context.accept()


def _conference(context: InstructionContext) -> None:
    parameters, attributes = context.parameters, context.task_attributes
    post_work = read_activity(context.workspace, parameters, "post_work_activity_sid", 40143)
    read_activity(context.workspace, parameters, "worker_activity_sid", 40139)
    if not (attributes.get("call_sid") or attributes.get("outbound_to")):
        raise missing_attribute(40142, "call_sid or outbound_to")
    to = read_contact(get_or_default(parameters, "to", context.contact_uri), "to", 40137)
    caller = get_or_default(parameters, "from", attributes.get("to"))
    if not caller:
        raise missing(40138, "from")
    caller_id = read_contact(caller, "from", 40141)
    options = read_conference(parameters, _MAX_SECONDS)
    call = context.call_worker(to, caller_id, 40145, options.worker_call)
    context.reservation.post_work_activity_sid = post_work
    call_control.ring_and_connect(
        call,
        options.seconds or call_control.RING_SECONDS,
        partial(call_tasks.join_conference, context.engine, call.caller, call.leg, options),
    )


def _supervise(context: InstructionContext) -> None:
    """Call a supervisor into the Task's conference, if the conference is simulated."""
    supervisor, mode = read_supervisor(context.workspace, context.parameters)
    attributes = context.task_attributes
    caller_id = attributes.get("from")
    if not isinstance(caller_id, str):
        raise missing_attribute(40148, "from")
    conference = attributes.get("conference")
    if not isinstance(conference, dict) or not conference.get("sid"):
        raise missing_attribute(NO_CONFERENCE, "conference.sid")
    if found := conferences.find(context.engine, context.task.sid):
        call_control.supervise(context.engine, found, to=supervisor, caller_id=caller_id, mode=mode)


@dataclass(frozen=True)
class _Instruction:
    """An instruction's function, and the Reservation statuses that allow the instruction.

    Attributes:
        status_code: Error code if the Reservation's status does not allow the instruction; None
            selects the setting `not_pending_code`.
        execute: Function that validates the parameters and executes the instruction.
        statuses: Reservation statuses that allow the instruction.
    """

    status_code: int | None
    execute: Callable[[InstructionContext], None]
    statuses: frozenset[ReservationStatus] = frozenset({ReservationStatus.PENDING})


_INSTRUCTIONS = {
    "accept": _Instruction(None, InstructionContext.accept),
    "reject": _Instruction(None, _reject),
    "dequeue": _Instruction(40135, _dequeue),
    "call": _Instruction(40114, _call),
    "redirect": _Instruction(40123, _redirect),
    "conference": _Instruction(40136, _conference),
    "supervise": _Instruction(40146, _supervise, HELD - {ReservationStatus.PENDING}),
}
