"""The `workspace check` command."""

import json

import pytest

from infra.aws import stage_config
from taskrouter_simulator.definition.reader import QUICKSTART
from tests.infra.command_line import run_infra

WITH_WARNING = """\
friendly_name: Sales
task_queues:
  - friendly_name: All
    target_workers: ""
"""
WITH_ERRORS = """\
friendly_name: Sales
default_activity: Here
activities: []
task_queues:
  - friendly_name: All
    target_workers: a ==
  - friendly_name: None
    target_workers: ""
"""
DOCS = "https://www.twilio.com/docs/taskrouter/"


@pytest.fixture
def write(tmp_path):
    def write(text):
        file = tmp_path / "workspace.yaml"
        file.write_text(text, encoding="utf-8")
        return file

    return write


def test_quickstart_is_checked_by_default(monkeypatch):
    monkeypatch.delenv("SIMULATOR_WORKSPACE_FILE", raising=False)
    result = run_infra("workspace", "check")
    assert (result.returncode, result.stdout) == (0, f"{QUICKSTART}: 0 errors, 0 warnings.\n")


def test_simulators_workspace_file_takes_precedence_over_the_quickstart(write):
    file = write(WITH_WARNING)
    result = run_infra("workspace", "check", SIMULATOR_WORKSPACE_FILE=str(file))
    assert result.stdout.endswith(f"{file}: 0 errors, 1 warning.\n")
    option = run_infra("workspace", "check", "--file", QUICKSTART, SIMULATOR_WORKSPACE_FILE="x")
    assert option.stdout == f"{QUICKSTART}: 0 errors, 0 warnings.\n"


@pytest.fixture
def set_workspace_file(tmp_path, monkeypatch):
    """A function that sets the `workspace_file` of a stage in config.json."""
    monkeypatch.delenv("SIMULATOR_WORKSPACE_FILE", raising=False)
    content = json.loads(stage_config.CONFIG.read_text(encoding="utf-8"))
    monkeypatch.setattr(stage_config, "CONFIG", tmp_path / "config.json")

    def set_workspace_file(stage, file):
        content["stages"][stage]["workspace_file"] = str(file)
        stage_config.CONFIG.write_text(json.dumps(content), encoding="utf-8")

    return set_workspace_file


def test_workspace_file_of_the_stage_is_checked(write, set_workspace_file):
    file = write(WITH_ERRORS)
    set_workspace_file("dev", file)
    result = run_infra("workspace", "check", "--stage", "dev", SIMULATOR_WORKSPACE_FILE="x")
    assert (result.returncode, result.stdout.splitlines()[-1]) == (
        1,
        f"{file}: 2 errors, 1 warning.",
    )
    option = run_infra("workspace", "check", "--stage", "dev", "--file", QUICKSTART)
    assert option.stdout == f"{QUICKSTART}: 0 errors, 0 warnings.\n"


def test_local_stage_prefers_the_simulators_workspace_file(write, set_workspace_file):
    file = write(WITH_WARNING)
    set_workspace_file("dev", file)
    check = ("workspace", "check", "--stage", "local")
    assert run_infra(*check).stdout.startswith(f"{QUICKSTART}: ")
    set_workspace_file("local", file)
    assert run_infra(*check).stdout.endswith(f"{file}: 0 errors, 1 warning.\n")
    other = run_infra(*check, SIMULATOR_WORKSPACE_FILE=str(QUICKSTART))
    assert other.stdout.startswith(f"{QUICKSTART}: ")


def test_check_fails_for_an_unknown_stage_and_for_a_stage_without_a_file(write, set_workspace_file):
    set_workspace_file("dev", write(WITH_WARNING))
    result = run_infra("workspace", "check", "--stage", "prod")
    assert (result.returncode, result.stdout) == (1, "")
    assert "Stage prod has no definition of its Workspace. Pass a file with --file" in result.stderr
    unknown = run_infra("workspace", "check", "--stage", "other")
    assert (unknown.returncode, "There is no stage 'other'" in unknown.stderr) == (1, True)


def test_stage_option_is_required_if_a_stage_sets_workspace_file(write, set_workspace_file):
    file = write(WITH_WARNING)
    set_workspace_file("dev", file)
    set_workspace_file("prod", file)
    result = run_infra("workspace", "check")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: No file was checked, because these stages set workspace_file in "
        ".chalice/config.json: dev, prod. Add --stage with one of them, or --file.\n"
    )
    named = run_infra("workspace", "check", SIMULATOR_WORKSPACE_FILE=str(file))
    assert named.stdout.endswith(f"{file}: 0 errors, 1 warning.\n")


def test_missing_workspace_file_of_the_stage_is_an_error(set_workspace_file, tmp_path):
    set_workspace_file("dev", tmp_path / "missing.yaml")
    result = run_infra("workspace", "check", "--stage", "dev")
    assert (result.returncode, "missing.yaml" in result.stdout) == (1, True)


def test_warnings_do_not_change_the_exit_code(write):
    file = write(WITH_WARNING)
    result = run_infra("workspace", "check", "--file", file)
    message = "an empty expression matches no Worker, so Tasks wait in this TaskQueue"
    assert result.returncode == 0
    assert result.stdout == (
        f"{file}:4:5: warning: {message} ({DOCS}api/task-queue)\n{file}: 0 errors, 1 warning.\n"
    )


def test_errors_are_listed_with_their_positions_and_documentation(write):
    file = write(WITH_ERRORS)
    result = run_infra("workspace", "check", "--file", file)
    lines = result.stdout.splitlines()
    assert result.returncode == 1
    assert lines[0] == f"{file}:2:1: error: there is no Activity 'Here' (docs/workspace.md)"
    assert lines[1].startswith(f"{file}:6:5: error: target_workers: 'a ==' is not an expression: ")
    assert lines[1].endswith(f"({DOCS}expression-syntax)")
    assert lines[2].startswith(f"{file}:8:5: warning: ")
    assert lines[3:] == [f"{file}: 2 errors, 1 warning."]


def test_json_contains_the_findings(write):
    file = write(WITH_ERRORS)
    result = run_infra("workspace", "check", "--json", "--file", file)
    report = json.loads(result.stdout)
    assert result.returncode == 1
    assert (report["file"], report["errors"], report["warnings"]) == (str(file), 2, 1)
    assert report["findings"][0] == {
        "severity": "error",
        "line": 2,
        "column": 1,
        "path": "default_activity",
        "message": "there is no Activity 'Here'",
        "source": "docs/workspace.md",
    }
    assert [item["path"] for item in report["findings"][1:]] == [
        "task_queues[0].target_workers",
        "task_queues[1].target_workers",
    ]
    assert [item["severity"] for item in report["findings"]] == ["error", "error", "warning"]


def test_file_that_cannot_be_read_as_yaml_is_an_error(write):
    file = write("a: [1")
    result = run_infra("workspace", "check", "--file", file)
    assert result.returncode == 1
    assert result.stdout.startswith(f"{file}:1:6: error: the file is not YAML: expected ','")
    assert result.stdout.endswith(f"\n{file}: 1 error, 0 warnings.\n")
    report = json.loads(run_infra("workspace", "check", "--json", "--file", file).stdout)
    assert [item["line"] for item in report["findings"]] == [1]


def test_mistake_without_a_position_is_reported_without_line_and_column(write):
    file = write("a: \x00")
    report = json.loads(run_infra("workspace", "check", "--json", "--file", file).stdout)
    assert [(item["line"], item["column"]) for item in report["findings"]] == [(None, None)]


def test_missing_file_is_an_error(tmp_path):
    result = run_infra("workspace", "check", "--file", tmp_path / "missing.yaml")
    assert result.returncode == 1
    assert "does not exist" in result.stderr
    assert run_infra("workspace", "check", "--file", tmp_path).returncode == 1
