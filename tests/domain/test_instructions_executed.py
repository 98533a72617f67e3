"""The simulator executes the instructions in this service's answers and REST requests."""

import json
from typing import Any

import pytest
import requests

from chalicelib.domain.instructions import INSTRUCTION_TYPES, Instruction, parse_instruction
from taskrouter_simulator.engine.core import Alert
from taskrouter_simulator.engine.instructions import handle_response
from taskrouter_simulator.testing import running
from tests.domain.instruction_table import CA, REQUIRED, TABLE, WA, Row
from tests.simulator.conftest import Simulation

CALL_ATTRIBUTES = {"selected_language": "es", "call_sid": CA, "to": "+15550001111"}
CALLING_INSTRUCTIONS = {"dequeue", "call", "conference"}
ROWS = pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.instruction}.{row.name}")


def build_instruction(name: str, existing_activity_sid: str, **parameters: Any) -> Instruction:
    """Build an instruction with its required parameters and the given parameters.

    The Activity SID in the table is replaced with the SID of an existing Activity.
    """
    contact = {"to": "client:alice"} if name in CALLING_INSTRUCTIONS else {}
    mapping = {"instruction": name, **contact, **REQUIRED.get(name, {}), **parameters}
    return parse_instruction(
        {key: existing_activity_sid if value == WA else value for key, value in mapping.items()}
    )


def expected_status(instruction: Instruction) -> str:
    if instruction.name == "reject":
        return "rejected"
    return "accepted" if instruction.accepts else "pending"


def execute(name: str, **parameters: Any) -> None:
    simulation = Simulation()
    task = simulation.create_task(json.dumps(CALL_ATTRIBUTES))
    simulation.set_activity(simulation.alice, "Idle")
    reservation = simulation.reservations(task)[-1]
    instruction = build_instruction(name, simulation.activity_sid("Offline"), **parameters)

    handle_response(
        simulation.engine, simulation.workspace.sid, reservation.sid, instruction.answer
    )

    assert [effect.code for effect in simulation.effects if isinstance(effect, Alert)] == []
    assert reservation.status == expected_status(instruction)


@pytest.mark.parametrize("name", INSTRUCTION_TYPES)
def test_simulator_executes_an_answer_with_its_required_parameters(name: str) -> None:
    execute(name)


@ROWS
def test_simulator_executes_an_answer_with_each_parameter(row: Row) -> None:
    for value in row.valid_values:
        execute(row.instruction, **{row.name: value})


@pytest.fixture(scope="module")
def simulator():
    with running() as taskrouter:
        yield taskrouter


@ROWS
def test_simulator_executes_a_rest_request_with_each_parameter(simulator, row: Row) -> None:
    simulator.reset()
    workspace = simulator.client().taskrouter.v1.workspaces(simulator.workspace_sid)
    alice = workspace.workers(simulator.workers["Alice"])
    alice.update(activity_sid=simulator.activities["Idle"])
    task = workspace.tasks.create(attributes=json.dumps(CALL_ATTRIBUTES))
    simulator.advance()
    (reservation,) = task.reservations.list()
    offline = simulator.activities["Offline"]
    instruction = build_instruction(row.instruction, offline, **{row.name: row.valid_values[0]})

    response = requests.post(
        f"{simulator.url}/v1/Workspaces/{simulator.workspace_sid}/Tasks/{task.sid}"
        f"/Reservations/{reservation.sid}",
        data=instruction.rest_form(),
        auth=(simulator.api_key_sid, simulator.api_key_secret),
        timeout=5,
    )

    assert response.status_code == 200, response.text
    assert response.json()["reservation_status"] == expected_status(instruction)
