"""Assignment instructions: what an app answers to the assignment callback, carried out.

Codes: https://www.twilio.com/docs/api/errors. An instruction that cannot be carried out raises an
alert and changes nothing: the Reservation stays as it is.
"""

from typing import Any

from simulator.engine import assignments, offers
from simulator.engine.core import Engine
from simulator.engine.model import Reservation, ReservationStatus, Workspace
from simulator.engine.reservations import not_pending

NO_INSTRUCTION = 40005
INVALID_INSTRUCTION = 55555
REJECT_ACTIVITY = 40100
LATE = {"accept": 40144, "reject": 40144}


def carry_out(
    engine: Engine, workspace_sid: str, reservation_sid: str, answer: dict[str, Any]
) -> None:
    """Do what the app answered.

    Args:
        engine: the engine.
        workspace_sid: where.
        reservation_sid: the Reservation that the callback was about.
        answer: the JSON object that came back; an empty one defers.
    """
    if not answer:
        return
    name = answer.get("instruction")
    about = {"reservation_sid": reservation_sid}
    if name is None:
        engine.alert(NO_INSTRUCTION, "The answer has no instruction", about, "warning")
        return
    if not isinstance(name, str) or name not in _INSTRUCTIONS:
        engine.alert(INVALID_INSTRUCTION, f"Invalid instruction {str(name)[:100]}", about)
        return
    workspace = engine.workspaces.get(workspace_sid)
    reservation = workspace.reservations.get(reservation_sid) if workspace else None
    if not workspace or not reservation or reservation.status is not ReservationStatus.PENDING:
        what = not_pending(reservation, f"execute {name} instruction") if reservation else "Gone"
        engine.alert(LATE[name], what, about)
        return
    _INSTRUCTIONS[name](engine, workspace, reservation, answer)


def _accept(
    engine: Engine, workspace: Workspace, reservation: Reservation, _answer: dict[str, Any]
) -> None:
    assignments.accept(engine, workspace, reservation)


def _reject(
    engine: Engine, workspace: Workspace, reservation: Reservation, answer: dict[str, Any]
) -> None:
    activity_sid = answer.get("activity_sid")
    missing = activity_sid is None or activity_sid == ""
    known = isinstance(activity_sid, str) and activity_sid in workspace.activities
    if not known and not (missing and engine.settings.reject_without_activity):
        engine.alert(
            REJECT_ACTIVITY,
            f"Reject instruction: activity_sid {str(activity_sid)[:100]} is missing or invalid",
            {"reservation_sid": reservation.sid},
        )
        return
    offers.reject(engine, workspace, reservation, activity_sid if known else None)


_INSTRUCTIONS = {"accept": _accept, "reject": _reject}
