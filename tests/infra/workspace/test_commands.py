"""The commands `workspace plan` and `workspace apply`."""

import json
import signal

import pytest

from infra.commands import workspace as command
from infra.signals import Interrupted
from infra.workspace import runs
from taskrouter_simulator.definition.reader import QUICKSTART
from tests.infra.command_line import run_infra
from tests.infra.workspace.live import workspace

API = "http://127.0.0.1:8000"


@pytest.fixture
def live(tmp_path):
    with workspace(tmp_path) as running:
        yield running


@pytest.fixture
def run(live, monkeypatch):
    """A function that runs a command for the local stage, whose Workspace is new."""
    monkeypatch.delenv("SIMULATOR_WORKSPACE_FILE", raising=False)

    def run(*arguments, **options):
        environ = {"TWILIO_TASKROUTER_URL": live.twilio.url} | options
        return run_infra("workspace", *arguments, **environ)

    return run


def test_applied_plan_leaves_no_changes(run):
    planned = run("plan")
    assert planned.returncode == 2
    assert planned.stdout.startswith("Workspace 'Quickstart' (WS")
    assert "\n+ create Activity 'Idle'\n+     available: true\n" in planned.stdout
    assert planned.stdout.endswith("\nPlan: 8 to create, 1 to change.\n")
    applied = run("apply", "--yes")
    assert applied.returncode == 0
    assert applied.stdout == planned.stdout
    assert "Workflow 'Incoming Customer Care Requests': created\n" in applied.stderr
    again = run("plan")
    assert (again.returncode, again.stdout.splitlines()[-1]) == (0, "Nothing to do.")


def test_nothing_is_changed_without_confirmation(run, live, monkeypatch):
    before = len(live.requests("POST"))
    refused = run("apply")
    assert refused.returncode == 2
    # The Workspace of this test does not contain the Workflow in local/settings.env.
    warning, result = refused.stderr.splitlines()
    assert warning.endswith(", but the Workspace has no such Workflow.")
    assert result == "Nothing was changed. To confirm in advance, add --yes."
    monkeypatch.setattr(command, "is_terminal", lambda: True)
    declined = run("apply", stdin="n\n")
    assert "Change the Workspace 'Quickstart'? [y/N]:" in declined.stderr
    assert declined.returncode == 2
    assert len(live.requests("POST")) == before
    assert run("apply", stdin="y\n").returncode == 0


@pytest.fixture
def workflow_sid(live):
    """The setting with the SID of a Workflow in the Workspace."""
    queue = live.context.task_queues.create(friendly_name="Own")
    routing = {"task_routing": {"default_filter": {"queue": queue.sid}}}
    workflow = live.context.workflows.create(friendly_name="Own", configuration=json.dumps(routing))
    return {"TWILIO_WORKFLOW_SID": workflow.sid}


def test_question_mentions_deletions(run, live, workflow_sid, tmp_path, monkeypatch):
    file = tmp_path / "own.yaml"
    file.write_text("friendly_name: New\nactivities: [{friendly_name: Offline}]\n")
    monkeypatch.setattr(command, "is_terminal", lambda: True)
    refused = run("apply", "--prune", "--file", file, "--yes", **workflow_sid)
    assert (refused.returncode, "add --force" in refused.stderr) == (1, True)
    result = run("apply", "--prune", "--force", "--file", file, stdin="y\n", **workflow_sid)
    assert "Change the Workspace 'New' and delete 2 of its resources? [y/N]:" in result.stderr
    assert "- delete Activity 'Available'\n" in result.stdout
    assert [item.friendly_name for item in live.context.activities.list()] == ["Offline"]


def test_plan_file_is_applied_only_if_nothing_has_changed(run, live, tmp_path):
    file = tmp_path / "plan.json"
    file.write_text(run("plan", "--json").stdout)
    created = live.context.task_queues.create(friendly_name="Other")
    refused = run("apply", "--plan", file, "--yes")
    assert refused.returncode == 1
    assert "the Workspace or the file has changed since the plan was made" in refused.stderr
    created.delete()
    assert run("apply", "--plan", file, "--yes").returncode == 0
    assert run("plan").returncode == 0


@pytest.mark.parametrize("has_plan", [True, False])
def test_interrupted_apply_says_how_to_finish(run, tmp_path, monkeypatch, has_plan):
    file = tmp_path / "plan.json"
    file.write_text(run("plan", "--json").stdout)
    options = ["--plan", file] if has_plan else []

    def interrupt(_change):
        raise Interrupted(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "_report", interrupt)
        interrupted = run("apply", "--yes", *options)
    assert interrupted.returncode == 128 + signal.SIGTERM
    new_plan = "If the command has changed anything, make a new plan and apply it. Otherwise, "
    repeat = "Run the same command again to finish."
    remedy = f"{new_plan}run the same command again." if has_plan else repeat
    assert interrupted.stderr.splitlines()[-1] == f"SIGTERM ended the command. {remedy}"
    again = run("apply", "--yes", *options)
    assert again.returncode == int(has_plan)
    refused = "This command changed nothing, because the Workspace or the file has changed since"
    assert (refused in again.stderr) is has_plan


def test_delay_requested_by_taskrouter_is_shown(run, live):
    live.twilio.fault("request", "error", status=429, retry_after=300, times=None)
    result = run("plan")
    assert result.stderr.endswith("throttled the request. Run the command again in 5 minutes.\n")


def test_error_for_refused_credentials_names_a_nondefault_taskrouter_url(run, live):
    live.twilio.fault("request", "error", status=401, times=None)
    result = run("plan")
    assert f". TWILIO_TASKROUTER_URL is {live.twilio.url}. " in result.stderr


def test_plan_file_records_the_prune_option(run, live, workflow_sid, tmp_path):
    file = tmp_path / "plan.json"
    planned = run("plan", "--json", "--prune", **workflow_sid)
    file.write_text(planned.stdout)
    assert json.loads(planned.stdout)["prune"] is True
    assert run("apply", "--plan", file, "--yes", "--force", **workflow_sid).returncode == 0
    names = {item.friendly_name for item in live.context.activities.list()}
    assert names == {"Offline", "Idle", "Busy", "Reserved"}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"checksum": "a"}'])
def test_file_that_is_not_a_plan_is_refused(run, tmp_path, content):
    file = tmp_path / "plan.json"
    file.write_text(content)
    result = run("apply", "--plan", file)
    assert result.returncode == 1
    assert f"{file} is not a plan. Make one: python -m infra workspace plan --json" in result.stderr


def test_attribute_values_and_secrets_are_not_shown(run, live, tmp_path):
    secret = "k4Qw9ZrT1mXv7BnC5dLs"
    file = tmp_path / "own.json"
    worker = {"friendly_name": "Eve", "attributes": {"phone": "+15550001111", "level": 1}}
    workspace = {
        "friendly_name": "New",
        "event_callback_url": "/event_callback",
        "workers": [worker],
    }
    file.write_text(json.dumps(workspace))
    environ = {"CALLBACK_PATH_SECRETS": secret}
    for style in ((), ("--json",), ("--markdown",)):
        shown = run("plan", "--file", file, *style, **environ).stdout
        assert secret not in shown
        assert "+1555" not in shown
        assert f"{API}/***/event_callback" in shown
        assert "phone" in shown
    assert run("apply", "--file", file, "--yes", **environ).returncode == 0
    assert live.context.fetch().event_callback_url == f"{API}/{secret}/event_callback"
    worker["attributes"]["level"] = 2
    file.write_text(json.dumps(workspace))
    shown = run("plan", "--file", file, **environ).stdout
    assert "~     attributes: level (values are not shown)\n" in shown


def test_change_in_a_hidden_part_of_a_url_is_shown(run, live, tmp_path):
    old, new = "old-secret_0123456789", "new-secret_0123456789"
    live.context.update(event_callback_url=f"https://a.example/{old}/x")
    file = tmp_path / "workspace.json"
    value = {"friendly_name": "New", "event_callback_url": f"https://a.example/{new}/x"}
    file.write_text(json.dumps(value))
    output = run("plan", "--file", file).stdout
    assert "https://a.example/*** -> https://a.example/*** (a hidden part differs)\n" in output
    (change,) = json.loads(run("plan", "--file", file, "--json").stdout)["changes"]
    shown = {"before": "https://a.example/***", "after": "https://a.example/***", "hidden": True}
    assert change["fields"] == [{"field": "event_callback_url", **shown}]
    live.context.update(event_callback_url="")
    (change,) = json.loads(run("plan", "--file", file, "--json").stdout)["changes"]
    assert change["fields"][0]["hidden"] is False


def test_json_and_markdown_cannot_be_combined(run):
    completed = run("plan", "--json", "--markdown")
    assert (completed.returncode, completed.stdout) == (1, "")
    assert "--json and --markdown cannot be combined" in completed.stderr


def test_names_cannot_end_the_markdown_block(run, tmp_path):
    file = tmp_path / "own.json"
    queue = {"friendly_name": "```", "target_workers": ""}
    file.write_text(json.dumps({"friendly_name": "New", "task_queues": [queue]}))
    lines = run("plan", "--markdown", "--file", file).stdout.splitlines()
    assert (lines[0], lines[-1]) == ("``````diff", "``````")
    assert lines[2] == "+ create TaskQueue '```'"


def test_only_the_changed_lines_of_a_configuration_are_shown(run, live):
    run("apply", "--yes")
    workflow = live.context.workflows.list()[0]
    workflow.update(configuration=workflow.configuration.replace("=='es'", "=='fr'"))
    shown = run("plan").stdout
    assert "~       -      expression: selected_language=='fr'\n" in shown
    assert "~       +      expression: selected_language=='es'\n" in shown
    assert "English" not in shown


def test_names_cannot_control_the_terminal(run, tmp_path):
    file = tmp_path / "own.json"
    queue = {"friendly_name": "a\x1b[31m", "target_workers": "a == '\x1b[32m'"}
    file.write_text(json.dumps({"friendly_name": "New", "task_queues": [queue]}))
    assert "\x1b" not in run("plan", "--file", file).stdout


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--unknown",),
        ("unknown",),
        ("plan", "--unknown"),
        ("plan", "--file", "missing.yaml"),
        ("plan", "--stage", "unknown"),
        ("apply", "--plan", "missing.json"),
        ("plan", "surplus"),
    ],
)
def test_errors_have_exit_code_1(arguments):
    assert run_infra("workspace", *arguments).returncode == 1


def test_invalid_definition_is_an_error(run, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("friendly_name: New\nqueues: []\n")
    result = run("plan", "--file", file)
    assert result.returncode == 1
    assert result.stderr.startswith(f"Error: {file}:2:1: the Workspace has no key 'queues'")


def test_simulators_workspace_file_is_the_default_for_the_local_stage(run, tmp_path):
    file = tmp_path / "own.yaml"
    file.write_text("friendly_name: Own\n")
    assert "'Own'" in run("plan", SIMULATOR_WORKSPACE_FILE=str(file)).stdout
    assert "'Quickstart'" in run("plan", "--file", QUICKSTART).stdout
