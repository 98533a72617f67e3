"""The pytest plugin's fixtures, used in test files like those of other teams."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SESSION = """
import pytest

urls = set()


@pytest.mark.parametrize("round_number", range(2))
def test_each_test_finds_no_tasks(taskrouter, taskrouter_server, round_number):
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    assert workspace.tasks.list() == []
    assert taskrouter.log("alert") == []
    workspace.tasks.create(attributes='{"selected_language": "es"}')
    assert taskrouter is taskrouter_server
    urls.add(taskrouter.url)
    assert len(urls) == 1


@pytest.mark.parametrize("taskrouter", [{"reservation_timeout": 7}], indirect=True)
def test_parameter_starts_another_simulator(taskrouter, taskrouter_server):
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    assert workspace.workflows(taskrouter.workflow_sid).fetch().task_reservation_timeout == 7
    assert taskrouter.url != taskrouter_server.url
"""
SETTINGS = """
import pytest


@pytest.fixture(scope="session")
def taskrouter_settings():
    return {"reservation_timeout": 9, "callback_base_url": "http://127.0.0.1:9"}


def workflow(taskrouter):
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    return workspace.workflows(taskrouter.workflow_sid).fetch()


def test_simulator_has_the_settings_from_the_fixture(taskrouter):
    assert workflow(taskrouter).task_reservation_timeout == 9


@pytest.mark.parametrize("taskrouter", [{"reservation_timeout": 7}], indirect=True)
def test_parameter_leaves_other_settings_unchanged(taskrouter):
    assert workflow(taskrouter).task_reservation_timeout == 7
    url = "http://127.0.0.1:9/assignment_callback"
    assert workflow(taskrouter).assignment_callback_url == url
"""
SEEDED = """
import pytest

dates = set()


@pytest.fixture(scope="session")
def taskrouter_settings():
    return {"seed": "1"}


@pytest.mark.parametrize("days", [0, 200, 0])
def test_task_has_the_same_sid_and_dates_in_every_test(taskrouter, days):
    workspace = taskrouter.client().taskrouter.v1.workspaces(taskrouter.workspace_sid)
    task = workspace.tasks.create(attributes='{"selected_language": "es"}')
    dates.add((task.sid, task.date_created, task.date_updated))
    assert len(dates) == 1
    taskrouter.advance(days * 86_400)
"""
OLD_CONFTEST = "from taskrouter_simulator.testing import taskrouter\n"
OLD_TEST = """
urls = []


def test_first(taskrouter):
    urls.append(taskrouter.url)


def test_second(taskrouter):
    assert urls and taskrouter.url not in urls
"""


def run_pytest(folder, test, conftest=None):
    """Run a test file as if the package were installed; return the output."""
    (folder / "test_support.py").write_text(test, encoding="utf-8")
    if conftest:
        (folder / "conftest.py").write_text(conftest, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:randomly"]
    command += ["-p", "taskrouter_simulator.pytest_plugin", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return result.stdout


def test_fixture_reuses_and_resets_one_simulator_per_session(tmp_path):
    assert "3 passed" in run_pytest(tmp_path, SESSION)


def test_taskrouter_settings_fixture_configures_the_simulator(tmp_path):
    assert "2 passed" in run_pytest(tmp_path, SETTINGS)


def test_each_test_of_a_seeded_session_begins_at_the_same_simulated_time(tmp_path):
    assert "3 passed" in run_pytest(tmp_path, SEEDED)


def test_imported_fixture_still_starts_a_new_simulator_for_each_test(tmp_path):
    assert "2 passed" in run_pytest(tmp_path, OLD_TEST, OLD_CONFTEST)


def test_plugin_does_not_import_the_simulator_before_a_fixture_is_used():
    code = (
        "import sys, taskrouter_simulator.pytest_plugin; "
        "print([name for name in ('aiohttp', 'lark', 'starlette', 'uvicorn') "
        "if name in sys.modules])"
    )
    assert run_code(code) == "[]\n"


def run_code(code):
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return result.stdout


def test_script_controls_a_simulator_without_third_party_packages(taskrouter):
    code = f"""
import sys
sys.modules |= dict.fromkeys(("pytest", "twilio", "uvicorn", "starlette", "aiohttp"))
from taskrouter_simulator.client import TaskRouter
print(TaskRouter({taskrouter.url!r}).workspace_sid)
"""
    assert run_code(code) == f"{taskrouter.workspace_sid}\n"
