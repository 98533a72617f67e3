"""The simulator executes our instructions, as answers to callbacks and over REST."""

import json
from typing import Any

import pytest
import requests

from chalicelib.domain.instructions import INSTRUCTION_TYPES, Instruction, parse_instruction
from taskrouter_simulator.engine.core import Alert
from taskrouter_simulator.engine.instructions import handle_response
from taskrouter_simulator.testing import running
from tests.domain.instruction_table import CA, REQUIRED, TABLE, WA, Row
from tests.simulator.conftest import Story

CALL = {"selected_language": "es", "call_sid": CA, "to": "+15550001111"}
CALLING = {"dequeue", "call", "conference"}
ROWS = pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.instruction}.{row.name}")


def instruction_of(name: str, there: str, **given: Any) -> Instruction:
    """Build an instruction with its required parameters and an existing Activity."""
    whom = {"to": "client:alice"} if name in CALLING else {}
    mapping = {"instruction": name, **whom, **REQUIRED.get(name, {}), **given}
    return parse_instruction({key: there if one == WA else one for key, one in mapping.items()})


def expected_status(instruction: Instruction) -> str:
    if instruction.name == "reject":
        return "rejected"
    return "accepted" if instruction.accepts else "pending"


def execute(name: str, **given: Any) -> None:
    story = Story()
    task = story.task(json.dumps(CALL))
    story.move(story.alice, "Idle")
    reservation = story.reservations(task)[-1]
    instruction = instruction_of(name, story.activity_sid("Offline"), **given)

    handle_response(story.engine, story.workspace.sid, reservation.sid, instruction.answer)

    assert [one.code for one in story.effects if isinstance(one, Alert)] == []
    assert reservation.status == expected_status(instruction)


@pytest.mark.parametrize("name", INSTRUCTION_TYPES)
def test_simulator_executes_answer_with_required_parameters(name: str) -> None:
    execute(name)


@ROWS
def test_simulator_executes_answer_with_each_parameter(row: Row) -> None:
    for value in row.takes:
        execute(row.instruction, **{row.name: value})


@pytest.fixture(scope="module")
def twilio():
    with running() as simulator:
        yield simulator


@ROWS
def test_simulator_executes_rest_request_with_each_parameter(twilio, row: Row) -> None:
    twilio.reset()
    workspace = twilio.client().taskrouter.v1.workspaces(twilio.workspace_sid)
    alice = workspace.workers(twilio.workers["Alice"])
    alice.update(activity_sid=twilio.activities["Idle"])
    task = workspace.tasks.create(attributes=json.dumps(CALL))
    twilio.advance()
    (reservation,) = task.reservations.list()
    offline = twilio.activities["Offline"]
    instruction = instruction_of(row.instruction, offline, **{row.name: row.takes[0]})

    answer = requests.post(
        f"{twilio.url}/v1/Workspaces/{twilio.workspace_sid}/Tasks/{task.sid}"
        f"/Reservations/{reservation.sid}",
        data=instruction.rest_form(),
        auth=(twilio.api_key_sid, twilio.api_key_secret),
        timeout=5,
    )

    assert answer.status_code == 200, answer.text
    assert answer.json()["reservation_status"] == expected_status(instruction)
