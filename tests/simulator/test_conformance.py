"""docs/conformance.md lists existing tests for every behavior and operation.

The tests at the end cover behavior that does not fit into any other test file.
"""

import dataclasses
import functools
import itertools
import json
import re
from pathlib import Path

import pytest

from taskrouter_simulator.engine import reservations, workers
from taskrouter_simulator.engine.core import AssignmentCallback
from taskrouter_simulator.rest.table import ROUTES
from taskrouter_simulator.settings import Settings
from tests.simulator.call_simulation import NUMBER, WORKER_NUMBER, CallSimulation
from tests.simulator.conftest import SPANISH, Simulation, error_for
from tests.simulator.rest_scenario import operations
from tests.simulator.test_wire import DESCRIPTION

FOLDER = Path(__file__).parent
PAGE = (FOLDER.parents[1] / "docs" / "conformance.md").read_text(encoding="utf-8")
BEHAVIOR = PAGE.partition("\n## Behavior\n")[2].partition("\n## Operations\n")[0]
TABLES = BEHAVIOR.partition("\n### ")[2]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in TABLES.partition("\n### Not simulated\n")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| fact |")
]
OPERATIONS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PAGE.partition("\n## Operations\n")[2].splitlines()
    if line.startswith("| ") and not line.startswith("| operation |")
]
SOURCES = set(re.findall(r"^\| ([A-Z-]+) \|", BEHAVIOR.partition("\n### ")[0], re.MULTILINE))


@functools.cache
def _tests_in(file):
    return set(
        re.findall(r"^def (test_\w+)\(", (FOLDER / file).read_text(encoding="utf-8"), re.MULTILINE)
    )


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_every_behavior_has_existing_tests(row):
    number, source, behavior, cell = row
    assert re.fullmatch(r"[0-9]+(\.[0-9]+){2}", number)
    assert source in SOURCES
    assert behavior
    _require_tests(cell)


def _require_tests(cell):
    """Check that a cell lists at least one test, and only tests that exist."""
    names = re.findall(r"`(test_\w+\.py)::(test_\w+)`", cell)
    assert cell == ", ".join(f"`{file}::{name}`" for file, name in names) != ""
    for file, name in names:
        assert name in _tests_in(file), f"{file} has no {name}"


def test_facts_are_numbered_without_gaps():
    numbers = [tuple(map(int, row[0].split("."))) for row in ROWS]
    assert numbers[0] == (1, 1, 1)
    for (first, second, third), number in itertools.pairwise(numbers):
        assert number in {
            (first, second, third + 1),
            (first, second + 1, 1),
            (first + 1, 0, 1),
            (first + 1, 1, 1),
        }
    assert numbers[-1][0] == 7
    assert len(numbers) > 150


def test_every_source_is_used():
    used = {row[1] for row in ROWS}
    not_simulated = TABLES.partition("\n### Not simulated\n")[2]
    assert used | set(re.findall(r"^\| ([A-Z]+) \|", not_simulated, re.MULTILINE)) == SOURCES


@pytest.mark.parametrize("row", OPERATIONS, ids=[row[0] for row in OPERATIONS])
def test_every_operation_has_existing_tests(row):
    operation_id, request, rules, cell = row
    assert re.fullmatch(r"[A-Z][A-Za-z]+", operation_id)
    assert re.fullmatch(r"`(GET|POST|DELETE) (…|/v1)/\S+`", request)
    assert rules
    _require_tests(cell)


def _requests():
    """Return the method and path of each row, with the names of path parameters."""
    workspace = "/v1/Workspaces/{WorkspaceSid}"
    return [tuple(row[1].strip("`").replace("…", workspace).split(" ")) for row in OPERATIONS]


def test_every_operation_has_exactly_one_row():
    routes = sorted(
        (method, re.sub(r"\{\w+\}", "{}", path)) for path in ROUTES for method in ROUTES[path]
    )
    rows = sorted((method, re.sub(r"\{\w+\}", "{}", path)) for method, path in _requests())
    assert rows == routes
    assert len({row[0] for row in OPERATIONS}) == len(routes) == 61


@pytest.mark.skipif(
    not DESCRIPTION.exists(),
    reason="Twilio's OpenAPI description is missing. Run make api-description.",
)
def test_operations_are_named_as_in_twilios_description():
    description = json.loads(DESCRIPTION.read_text())
    described = {
        operation_id: (method, path.replace("Workspaces/{Sid}", "Workspaces/{WorkspaceSid}"))
        for operation_id, (method, path, _) in operations(description).items()
    }
    ids = [row[0] for row in OPERATIONS]
    assert dict(zip(ids, _requests(), strict=True)) == described


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`SIMULATOR_(\w+)`", PAGE))))
def test_every_setting_on_the_page_exists(name):
    assert name.lower() in {field.name for field in dataclasses.fields(Settings)}


def test_reservation_without_callback_url_waits_until_it_times_out():
    simulation = Simulation(reservation_timeout=90)
    (workflow,) = simulation.workspace.workflows.values()
    workflow.assignment_callback_url = ""
    _, reservation = simulation.offer_task()
    assert not any(isinstance(effect, AssignmentCallback) for effect in simulation.effects)
    simulation.clock.advance(89)
    assert reservation.status == "pending"
    simulation.clock.advance(1)
    assert reservation.status == "timeout"


def test_rejection_without_activity_restores_previous_activity():
    simulation = Simulation()
    _, reservation = simulation.offer_task()
    assert simulation.activity_of(simulation.alice) == "Reserved"
    reservations.reject(simulation.engine, simulation.workspace, reservation)
    assert simulation.activity_of(simulation.alice) == "Idle"


def test_task_can_be_canceled_without_a_reason(workspace):
    task = workspace.tasks.create(attributes=SPANISH)
    canceled = task.update(assignment_status="canceled")
    assert (canceled.assignment_status, canceled.reason) == ("canceled", None)


def test_canceled_task_cannot_be_canceled_again(taskrouter, workspace):
    task = workspace.tasks.create(attributes=SPANISH)
    task.update(assignment_status="canceled")
    message = f"Cannot cancel task {task.sid} because it is not pending or reserved."
    assert message in error_for(task.update, assignment_status="canceled")


def test_waiting_task_with_maximum_timeout_is_canceled_after_two_weeks(taskrouter, workspace):
    task = workspace.tasks.create(attributes=SPANISH, timeout=1_209_600)
    taskrouter.advance(1_209_599)
    assert task.fetch().assignment_status == "pending"
    taskrouter.advance(1)
    assert task.fetch().assignment_status == "canceled"
    (event,) = workspace.events.list(event_type="task.canceled")
    assert event.resource_sid == task.sid


def test_sid_has_prefix_and_32_hexadecimal_digits():
    for settings in ({}, {"seed": "x"}):
        simulation = Simulation(**settings)
        task, reservation = simulation.offer_task()
        for prefix, sid in (("WT", task.sid), ("WR", reservation.sid)):
            assert re.fullmatch(f"{prefix}[0-9a-f]{{32}}", sid)


def test_simultaneous_reservations_are_counted_as_one_assignment():
    simulation = Simulation(max_assignments=2)
    for queue in simulation.workspace.queues.values():
        queue.max_reserved_workers = 2
    workers.set_attributes(
        simulation.engine, simulation.workspace, simulation.bob, simulation.alice.attributes
    )
    simulation.set_activity(simulation.bob, "Idle")
    simulation.set_activity(simulation.alice, "Idle")
    task = simulation.create_task()
    for count in (1, 2):
        assert (task.times_reserved, len(reservations.pending(task))) == (count, 2)
        for reservation in reservations.pending(task):
            reservations.reject(simulation.engine, simulation.workspace, reservation)
        simulation.clock.advance(1)
    assert (task.status, len(task.reservations)) == ("canceled", 4)


def test_default_caller_id_of_a_dequeue_instruction_is_the_dialed_number():
    simulation = CallSimulation({"instruction": "dequeue", "to": WORKER_NUMBER})
    simulation.place_call("1")
    simulation.make_alice_idle()
    assert simulation.worker_leg().caller == NUMBER
