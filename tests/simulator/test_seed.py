"""Workspaces created from a definition."""

import copy
import json

import pytest
import requests

from taskrouter_simulator.__main__ import main
from taskrouter_simulator.definition.reader import from_value, read
from taskrouter_simulator.identifiers import derived_hex

SALES = {
    "friendly_name": "Sales",
    "multi_task_enabled": True,
    "activities": [
        {"friendly_name": "Away"},
        {"friendly_name": "Here", "available": True},
        {"friendly_name": "Gone"},
    ],
    "timeout_activity": "Gone",
    "task_queues": [{"friendly_name": "All", "max_reserved_workers": 2}],
    "workers": [
        {"friendly_name": "Zoë", "activity": "Here", "capacity": {"voice": 3, "default": 2}}
    ],
    "workflows": [
        {
            "friendly_name": "Main",
            "configuration": {"task_routing": {"default_filter": {"queue": "All"}}},
            "assignment_callback_url": "",
            "task_reservation_timeout": 30,
        }
    ],
}


def test_workspace_is_created_as_described(taskrouter):
    taskrouter.reset(SALES)
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    assert workspace.fetch().timeout_activity_name == "Gone"
    workflow = workspace.workflows(taskrouter.workflow_sid).fetch()
    assert taskrouter.task_queues["All"] in workflow.configuration
    assert (workflow.task_reservation_timeout, workflow.assignment_callback_url) == (30, None)
    tasks = [workspace.tasks.create(attributes="{}") for _ in range(3)]
    taskrouter.advance()
    statuses = [task.fetch().assignment_status for task in tasks]
    assert statuses == ["reserved", "reserved", "pending"]
    taskrouter.advance(30)
    assert workspace.workers(taskrouter.workers["Zoë"]).fetch().activity_name == "Gone"


def test_reset_without_definition_restores_initial_workspace(taskrouter):
    taskrouter.reset(SALES)
    taskrouter.reset()
    assert sorted(taskrouter.workers) == ["Alice", "Bob"]


def test_sids_are_deterministic(taskrouter):
    assert taskrouter.workspace_sid == "WS" + derived_hex("workspace")
    assert taskrouter.workflow_sid == "WW" + derived_hex("workflow")
    assert taskrouter.workers["Alice"] == "WK" + derived_hex("worker/Alice")
    assert taskrouter.account_sid == "AC" + derived_hex("account")


def invalid_definitions():
    for section in ("activities", "workers", "task_queues", "workflows"):
        for value in (1, [1], [{}], [{"friendly_name": None, "attributes": 1}]):
            yield {**SALES, section: value}
    yield {**SALES, "timeout_activity": "Nowhere"}
    yield {**SALES, "task_queue": []}
    yield {**SALES, "multi_task_enabled": "false"}
    yield {**SALES, "event_callback_url": ["/events"]}
    yield {**SALES, "events_filter": "task.created,task.made"}
    for section, name, value in (
        ("workers", "capacity", {"telepathy": 1}),
        ("workers", "capacity", {"voice": -1}),
        ("workers", "capacity", {"voice": 100_001}),
        ("workers", "capacity", {"voice": True}),
        ("workers", "capacity", {"voice": 1.5}),
        ("task_queues", "max_reserved_workers", 0),
        ("task_queues", "max_reserved_workers", 51),
        ("task_queues", "max_reserved_workers", None),
        ("workflows", "task_reservation_timeout", 0),
        ("workflows", "task_reservation_timeout", 86_401),
        ("workflows", "task_reservation_timeout", "30"),
        ("workflows", "assignment_callback_url", ["/callback"]),
        ("workflows", "assignment_callback_url", "callback"),
        ("workflows", "fallback_assignment_callback_url", "ftp://example.com/"),
        ("workers", "activity", "Nowhere"),
        ("workers", "channels", {"voice": 1}),
        ("activities", "available", "no"),
        ("task_queues", "task_order", "LILO"),
        ("task_queues", "targetWorkers", "1==1"),
        ("task_queues", "target_workers", "worker.channel.fax.assigned_tasks == 0"),
        ("workflows", "timeout", 30),
        ("task_queues", "target_workers", "==="),
        ("workflows", "configuration", {"task_routing": {"default_filter": {"queue": "No"}}}),
    ):
        definition = copy.deepcopy(SALES)
        definition[section][0][name] = value
        yield definition


@pytest.mark.parametrize("definition", list(invalid_definitions()))
def test_invalid_definition_is_rejected_and_changes_nothing(taskrouter, definition):
    url = f"{taskrouter.url}/simulator/reset"
    response = requests.post(url, json=definition, timeout=5)
    assert response.status_code == 400
    assert response.json()["message"].startswith("the workspace cannot be loaded: ")
    assert requests.get(f"{taskrouter.url}/simulator", timeout=5).json()["workers"].keys() == {
        "Alice", "Bob"
    }  # fmt: skip


def test_error_for_unknown_key_suggests_a_known_key(taskrouter):
    url = f"{taskrouter.url}/simulator/reset"
    response = requests.post(url, json={**SALES, "task_queue": []}, timeout=5)
    assert response.json()["message"] == (
        "the workspace cannot be loaded: the Workspace has no key 'task_queue'; did you mean"
        " task_queues?"
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_workspace_file_may_be_json_or_yaml(tmp_path, encoding):
    path = tmp_path / "sales.json"
    path.write_text(json.dumps(SALES), encoding=encoding)
    assert read(path) == from_value(SALES)
    path.write_text("friendly_name: Sales\nactivities: []\n", encoding=encoding)
    assert read(path) == from_value({"friendly_name": "Sales", "activities": []})


def test_simulator_does_not_start_with_an_invalid_workspace_file(tmp_path, capsys):
    path = tmp_path / "sales.yaml"
    for text, problem in (
        ("[]", ":1:1: the Workspace must be a mapping, not a list"),
        (
            "friendly_name: Sales\ntimeout_activity: Gone\n",
            ":2:1: there is no Activity 'Gone'",
        ),
    ):
        path.write_text(text)
        assert main(["--workspace-file", str(path), "--port", "0"]) == 1
        assert capsys.readouterr().err == f"simulator: {path}{problem}\n"


def test_error_contains_path_of_missing_workspace_file(tmp_path, capsys):
    path = tmp_path / "sales.yaml"
    assert main(["--workspace-file", str(path), "--port", "0"]) == 1
    problem = "the file cannot be read: No such file or directory"
    assert capsys.readouterr().err == f"simulator: {path}: {problem}\n"
