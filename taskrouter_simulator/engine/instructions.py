"""Assignment instructions, answered to a callback or sent by REST, carried out.

An instruction that makes a call checks its parameters. A caller who was placed here is connected as
`calls` has it; the `call_sid` of any other Task stands for a call that is answered at once.
Parameters and codes:
https://www.twilio.com/docs/taskrouter/handle-assignment-callbacks and .../docs/api/errors.
"""

from collections.abc import Callable
from dataclasses import dataclass

from taskrouter_simulator.engine import offers
from taskrouter_simulator.engine.calls import orders, ringing
from taskrouter_simulator.engine.core import Engine
from taskrouter_simulator.engine.errors import BadRequest
from taskrouter_simulator.engine.model import Reservation, ReservationStatus, Workspace
from taskrouter_simulator.engine.order import Order
from taskrouter_simulator.engine.parameters import (
    Answer,
    InstructionError,
    activity,
    choice,
    contact,
    events,
    flag,
    missing,
    number,
    url,
    whole,
)
from taskrouter_simulator.engine.reservations import not_pending

NO_INSTRUCTION = 40005
INVALID_INSTRUCTION = 55555
CALLER_GONE = 40144
_RECORD = {"do-not-record", "record-from-answer"}
_MAX_SECONDS = 999
_MAX_SIP_SECONDS = 600


@dataclass(frozen=True)
class _Instruction:
    """What an instruction does, and its code where the Reservation is no longer pending."""

    late_code: int | None
    carry_out: Callable[["Order"], None]


def answered(engine: Engine, workspace_sid: str, reservation_sid: str, answer: Answer) -> None:
    """Do what the app answered to the assignment callback; what cannot be done raises an alert.

    Args:
        engine: the engine.
        workspace_sid: where.
        reservation_sid: the Reservation that the callback was about; it may be gone by now.
        answer: the JSON object that came back; an empty one defers.
    """
    if not answer:
        return
    about = {"reservation_sid": reservation_sid}
    if "instruction" not in answer:
        engine.alert(NO_INSTRUCTION, "The answer has no instruction", about, "warning")
        return
    workspace = engine.workspaces.get(workspace_sid)
    reservation = workspace.reservations.get(reservation_sid) if workspace else None
    try:
        if workspace is None or reservation is None:
            raise InstructionError(
                engine.settings.not_pending_code, f"Reservation {reservation_sid} is gone"
            )
        carry_out(engine, workspace, reservation, answer)
    except InstructionError as fault:
        engine.alert(fault.code, fault.message, about)


def carry_out(
    engine: Engine, workspace: Workspace, reservation: Reservation, answer: Answer
) -> None:
    """Carry out an instruction.

    Args:
        engine: the engine.
        workspace: where.
        reservation: the offer.
        answer: `instruction` and its parameters, by their JSON names.

    Raises:
        InstructionError: it cannot be carried out; nothing changed.
    """
    name = answer.get("instruction")
    instruction = _INSTRUCTIONS.get(name) if isinstance(name, str) else None
    if instruction is None:
        raise InstructionError(INVALID_INSTRUCTION, f"Invalid instruction {str(name)[:100]}")
    if reservation.status is not ReservationStatus.PENDING:
        what = not_pending(reservation, f"execute {str(name).capitalize()} instruction")
        late = instruction.late_code or engine.settings.not_pending_code
        gone = name == "conference" and reservation.status is ReservationStatus.CANCELED
        raise InstructionError(CALLER_GONE if gone else late, what)
    try:
        instruction.carry_out(Order(engine, workspace, reservation, answer))
    except BadRequest as refusal:
        raise InstructionError(refusal.code, refusal.message) from refusal


def _accept(order: Order) -> None:
    order.accept()


def _reject(order: Order) -> None:
    activity_sid = activity(order.workspace, order.answer, "activity_sid", 40100)
    if activity_sid is None and not order.engine.settings.reject_without_activity:
        raise missing(40100, "activity_sid")
    offers.reject(order.engine, order.workspace, order.reservation, activity_sid)


def _dequeue(order: Order) -> None:
    answer, attributes = order.answer, order.task_attributes
    post_work = activity(order.workspace, answer, "post_work_activity_sid", 40130)
    if not isinstance(attributes.get("call_sid"), str):
        raise missing(40140, "call_sid", "the Task's attributes")
    to = contact(answer.get("to") or order.contact_uri, "to", 40131)
    caller_id = contact(answer.get("from") or attributes.get("to"), "from", 40132)
    choice(answer, "record", _RECORD, 40133)
    most = _MAX_SIP_SECONDS if to.lower().startswith(("sip:", "sips:")) else _MAX_SECONDS
    seconds = whole(answer, "timeout", 1, most, 40133)
    url(answer, "status_callback_url", 40157)
    events(answer, "status_callback_events", 40134)
    pair = order.call_worker(to, caller_id, 40133)
    order.note_worker_call(pair)
    order.reservation.post_work_activity_sid = post_work
    order.connect(pair, "dequeue", seconds)


def _call(order: Order) -> None:
    answer = order.answer
    to = contact(answer.get("to") or order.contact_uri, "to", 40110)
    caller_id = contact(answer.get("from"), "from", 40111)
    url(answer, "url", 40112, required=True)
    choice(answer, "record", _RECORD, 40113)
    seconds = whole(answer, "timeout", 1, _MAX_SECONDS, 40113)
    url(answer, "status_callback_url", 40158)
    accept = flag(answer, "accept")
    pair = order.call_worker(to, caller_id, 40113)
    order.note_worker_call(pair)
    if pair:
        ringing.call(pair, answer["url"], seconds or ringing.RING_SECONDS, accept=accept)
    elif accept:
        order.accept()


def _redirect(order: Order) -> None:
    url(order.answer, "url", 40120, required=True)
    number(order.answer, "call_sid", "CA", 40121)
    try:
        orders.redirect(order.engine, order.answer["call_sid"], order.answer["url"])
    except BadRequest as refusal:
        raise InstructionError(40122, refusal.message) from refusal
    if flag(order.answer, "accept"):
        order.accept()


def _conference(order: Order) -> None:
    answer, attributes = order.answer, order.task_attributes
    post_work = activity(order.workspace, answer, "post_work_activity_sid", 40143)
    activity(order.workspace, answer, "worker_activity_sid", 40139)
    if not (attributes.get("call_sid") or attributes.get("outbound_to")):
        raise missing(40142, "call_sid or outbound_to", "the Task's attributes")
    to = contact(answer.get("to") or order.contact_uri, "to", 40137)
    caller = answer.get("from") or attributes.get("to")
    if not caller:
        raise missing(40138, "from")
    caller_id = contact(caller, "from", 40141)
    for name in _CONFERENCE_URLS:
        url(answer, name, 40159)
    for name, allowed in _CONFERENCE_CHOICES.items():
        choice(answer, name, allowed, 40145)
    seconds = whole(answer, "timeout", 1, _MAX_SECONDS, 40145)
    whole(answer, "max_participants", 2, 250, 40145)
    events(answer, "status_callback_event", 40145)
    events(answer, "conference_status_callback_event", 40145, _CONFERENCE_EVENTS)
    pair = order.call_worker(to, caller_id, 40145)
    order.reservation.post_work_activity_sid = post_work
    order.connect(pair, "conference", seconds)


_METHODS = {"GET", "POST"}
_CONFERENCE_EVENTS = frozenset({"start", "end", "join", "leave", "mute", "hold", "speaker"})
_CONFERENCE_URLS = (
    "status_callback",
    "conference_status_callback",
    "recording_status_callback",
    "conference_recording_status_callback",
    "wait_url",
)
_CONFERENCE_CHOICES = {
    "status_callback_method": _METHODS,
    "conference_status_callback_method": _METHODS,
    "recording_status_callback_method": _METHODS,
    "conference_recording_status_callback_method": _METHODS,
    "wait_method": _METHODS,
    "beep": {"true", "false", "onEnter", "onExit"},
    "conference_record": {"true", "false", "record-from-start", "do-not-record"},
    "conference_trim": {"trim-silence", "do-not-trim"},
    "recording_channels": {"mono", "dual"},
    "region": {"us1", "us2", "ie1", "de1", "sg1", "br1", "au1", "jp1"},
    "jitter_buffer_size": {"small", "medium", "large", "off"},
}
_INSTRUCTIONS = {
    "accept": _Instruction(None, _accept),
    "reject": _Instruction(None, _reject),
    "dequeue": _Instruction(40135, _dequeue),
    "call": _Instruction(40114, _call),
    "redirect": _Instruction(40123, _redirect),
    "conference": _Instruction(40136, _conference),
}
