"""The Workspace of a stage in AWS: workspace commands, and deployments with a workspace_file."""

import contextlib
import json
from pathlib import Path

import pytest

from infra import OperatorError
from infra.aws import chalice_record, lock
from infra.aws.stage_config import SID_PREFIXES
from infra.commands import connection
from infra.commands.dialog import Dialog
from infra.workspace import runs, target
from tests.infra.command_line import run_infra
from tests.infra.new_stage import URL

ROUTING = {"task_routing": {"default_filter": {"queue": "Everyone"}}}
VALUE = {
    "friendly_name": "Sales",
    "event_callback_url": "/event_callback",
    "task_queues": [{"friendly_name": "Everyone"}],
    "workflows": [
        {
            "friendly_name": "Main",
            "assignment_callback_url": "/assignment_callback",
            "task_reservation_timeout": 60,
            "configuration": ROUTING,
        }
    ],
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "workspace.json"
    path.write_text(json.dumps(VALUE))
    return path


@pytest.fixture
def stage(new_stage, file, monkeypatch):
    """A configured stage with a workspace_file. Its first deployment has completed."""
    new_stage.configure()
    new_stage.is_first = False
    content = json.loads(new_stage.config.read_text())
    content["stages"]["dev"]["workspace_file"] = str(file)
    new_stage.config.write_text(json.dumps(content))
    monkeypatch.setattr(chalice_record, "public_url", lambda *_: URL)
    return new_stage


def run(*arguments, **options):
    return run_infra("workspace", *arguments, "--stage", "dev", **options)


def workflows(stage):
    return {item.friendly_name: item for item in stage.workspace.workflows.list()}


def test_deployment_applies_the_file(stage):
    result = stage.deploy("--yes")
    assert result.exit_code == 0, result.output
    assert stage.workspace.fetch().event_callback_url == f"{URL}/event_callback"
    assert workflows(stage)["Main"].assignment_callback_url == f"{URL}/assignment_callback"
    assert "+ create Workflow 'Main'\n" in result.stderr
    assert result.stdout == f"{URL}/assignment_callback\n"
    again = stage.deploy("--yes")
    assert "Plan:" not in again.output


def test_invalid_file_is_refused_before_the_deployment(stage, file):
    file.write_text("friendly_name: [x")
    result = stage.deploy("--yes")
    assert (result.exit_code, stage.deployments) == (1, 0)
    assert f"Error: {file}:" in result.output
    assert stage.deploy("--yes", "--no-callback-urls").exit_code == 0


@pytest.mark.parametrize("is_in_shell", [False, True])
def test_workspace_of_another_stage_is_refused_before_the_deployment(stage, is_in_shell):
    sid = stage.twilio.workspace_sid
    content = json.loads(stage.config.read_text())
    content["stages"]["prod"] = {"environment_variables": {"TWILIO_WORKSPACE_SID": sid}}
    stage.config.write_text(json.dumps(content))
    if is_in_shell:
        stage.set(TWILIO_WORKSPACE_SID="")
    result = stage.deploy("--yes", TWILIO_WORKSPACE_SID=sid)
    assert (result.exit_code, stage.deployments) == (1, 0)
    assert f"the Workspace {sid} is also used by stage prod" in result.output


def test_deployment_without_a_file_manages_only_the_callback_urls(new_stage):
    new_stage.configure()
    new_stage.deploy("--yes")
    assert new_stage.workspace.fetch().friendly_name == "Quickstart"
    assert new_stage.requests("DELETE") == []
    posts = {path.rsplit("/", 2)[1] for path in new_stage.requests("POST")}
    assert posts == {"Workspaces", "Workflows"}


def test_deployment_asks_before_it_applies_the_file(stage):
    stage.in_terminal = True
    before = len(stage.requests("POST"))
    declined = stage.deploy(answers=["n"])
    assert "Change the Workspace 'Sales'? [y/N]:" in declined.output
    assert (declined.exit_code, len(stage.requests("POST"))) == (0, before)
    assert stage.deploy(answers=["y"]).exit_code == 0
    assert "Main" in workflows(stage)


def test_timeouts_of_managed_workflows_are_deployed(stage):
    result = stage.deploy("--yes")
    sid = workflows(stage)["Main"].sid
    assert json.loads(stage.variables["RESERVATION_TIMEOUTS_BY_WORKFLOW"]) == {sid: 60}
    assert stage.variables["RESERVATION_TIMEOUT_SECONDS"] == "1200"
    assert "The settings have changed. Deploying the stage again." in result.output
    assert stage.deployments == 2
    stage.deploy("--yes")
    assert stage.deployments == 3


def test_timeout_of_the_stages_workflow_is_written(stage, file):
    value = json.loads(json.dumps(VALUE))
    value["workflows"][0] |= {"was": "Incoming Customer Care Requests"}
    file.write_text(json.dumps(value))
    stage.deploy("--yes")
    assert workflows(stage)["Main"].sid == stage.twilio.workflow_sid
    assert stage.variables["RESERVATION_TIMEOUT_SECONDS"] == "60"
    assert "RESERVATION_TIMEOUTS_BY_WORKFLOW" not in stage.variables


CONTRADICTION = (
    "Error: Nothing was changed, because the values of task_reservation_timeout in the file "
    "contradict other settings. Stage dev in .chalice/config.json: REJECT_AFTER_SECONDS"
)


@pytest.mark.parametrize(("timeout", "is_refused"), [(170, True), (171, False)])
def test_timeout_that_contradicts_the_settings_is_refused_before_any_change(
    stage, file, timeout, is_refused
):
    stage.set(REJECT_AFTER_SECONDS="100", REJECT_ACTIVITY_SID="WA" + "1" * 32)
    long = VALUE["workflows"][0] | {"task_reservation_timeout": 1200}
    short = long | {"friendly_name": "Short", "task_reservation_timeout": timeout}
    unmanaged = long | {"friendly_name": "Unmanaged"}
    del unmanaged["task_reservation_timeout"]
    change_file(file, workflows=[long, short, unmanaged])
    before = len(stage.requests("POST"))
    planned = run("plan")
    assert (planned.returncode, CONTRADICTION in planned.stderr) == (2 - is_refused, is_refused)
    deployed = stage.deploy("--yes")
    assert (deployed.exit_code, CONTRADICTION in deployed.output) == (is_refused, is_refused)
    assert (stage.deployments == 0, len(stage.requests("POST")) == before) == (is_refused,) * 2
    applied = run("apply", "--yes")
    assert (applied.returncode, CONTRADICTION in applied.stderr) == (is_refused, is_refused)


def test_error_says_that_the_workspace_was_updated_but_the_settings_were_not(stage, file):
    """RESERVATION_TIMEOUT_SECONDS is too short, and applying the file does not change it."""
    stage.set(
        REJECT_AFTER_SECONDS="100",
        REJECT_ACTIVITY_SID="WA" + "1" * 32,
        RESERVATION_TIMEOUT_SECONDS="60",
    )
    change_file(file, workflows=[VALUE["workflows"][0] | {"task_reservation_timeout": 1200}])
    refused = run("apply", "--yes")
    assert refused.returncode == 1
    assert (
        "Error: The Workspace matches the file, but RESERVATION_TIMEOUTS_BY_WORKFLOW could not be "
        "written to .chalice/config.json. Stage dev in .chalice/config.json: REJECT_AFTER_SECONDS"
    ) in refused.stderr
    assert "Main" in workflows(stage)


def test_yes_option_does_not_redirect_the_callbacks_of_another_stage(stage, monkeypatch):
    monkeypatch.setattr(connection, "_is_served", lambda _url: True)
    stage.workspace.update(event_callback_url="https://a.example/prod/event_callback")
    for result in (stage.deploy("--yes"), None):
        if result is None:
            output = run("apply", "--yes")
            code, text = output.returncode, output.stderr
        else:
            code, text = result.exit_code, result.output
        assert code == 1
        assert "because the changes would stop TaskRouter from calling stage prod" in text
    assert "Main" not in workflows(stage)


@pytest.fixture
def locks(stage, monkeypatch):
    """The `force` value of each released lock, and the stage's state before and after the lock."""
    steps = []

    @contextlib.contextmanager
    def acquire(_aws, _stage, *, force):
        before = stage.deployments, "Main" in workflows(stage)
        yield lambda: None
        steps.append((force, before, (stage.deployments, "Main" in workflows(stage))))

    monkeypatch.setattr(lock, "acquire", acquire)
    return steps


def test_deployment_holds_the_lock_while_it_applies_the_file(stage, locks):
    assert stage.deploy("--yes").exit_code == 0
    assert locks == [(False, (0, False), (2, True))]


@pytest.mark.parametrize("force", [False, True])
def test_apply_holds_the_lock_of_the_stage(locks, force):
    options = ["--break-lock"] if force else []
    assert run("apply", "--yes", *options).returncode == 0
    assert locks == [(force, (0, False), (0, True))]
    run("plan")
    assert len(locks) == 1


WARNING = "Warning: the stage needs these values, which the file does not set:\n"


def test_missing_urls_and_events_are_reported_after_the_file_is_applied(stage, file):
    stage.workspace.update(events_filter="task.created", event_callback_url="")
    stage.workflow.update(assignment_callback_url="")
    file.write_text(json.dumps({"friendly_name": "Quickstart"}))
    deployed = stage.deploy("--yes")
    assert deployed.exit_code == 0
    shown = deployed.stderr.partition(WARNING)[2].splitlines()
    assert shown[0] == f"  Workflow, assignment callback: none -> {URL}/assignment_callback"
    assert shown[2] == f"  Workspace, event callback: none -> {URL}/event_callback"
    assert shown[3].startswith("  Workspace, event filter: also reservation.")
    assert WARNING in run("apply", "--yes").stderr
    connected = {
        "friendly_name": "Incoming Customer Care Requests",
        "assignment_callback_url": "/assignment_callback",
        "fallback_assignment_callback_url": "/assignment_callback/fallback",
    }
    change_file(file, task_queues=[], workflows=[connected], events_filter=None)
    assert "Warning" not in run("apply", "--yes").stderr


def test_error_for_a_test_task_names_the_file_that_lacks_the_callback_urls(stage, file):
    file.write_text(json.dumps({"friendly_name": "Quickstart"}))
    result = stage.deploy("--yes", "--try")
    assert result.exit_code == 1
    remedy = f"Make sure that {file} contains the callback URLs, which begin with ${{api}}. Then"
    assert f"{remedy} run: python -m infra deploy --stage dev --yes --try\n" in result.output


def test_missing_urls_are_not_reported_before_the_deployment(without_workspace):
    result = run("apply", "--yes")
    assert (result.returncode, "Warning" in result.stderr) == (0, False)


def test_missing_workflow_does_not_fail_the_apply(stage, file):
    stage.workspace.workflows(stage.twilio.workflow_sid).delete()
    file.write_text(json.dumps({"friendly_name": "Quickstart"}))
    result = run("apply", "--yes")
    assert (result.returncode, WARNING in result.stderr) == (0, False)


def test_deployment_that_does_not_set_callback_urls_does_not_apply_the_file(stage):
    assert stage.deploy("--no-callback-urls").exit_code == 0
    assert "Main" not in workflows(stage)


def test_plan_uses_the_file_and_the_url_of_the_stage(stage):
    planned = run("plan")
    assert planned.returncode == 2
    assert f"assignment_callback_url: {URL}/assignment_callback\n" in planned.stdout
    assert "~ rename Workspace 'Sales'\n" in planned.stdout


def test_simulators_workspace_file_is_not_used_for_a_stage_in_aws(stage, file):
    content = json.loads(stage.config.read_text())
    del content["stages"]["dev"]["workspace_file"]
    stage.config.write_text(json.dumps(content))
    result = run("plan", SIMULATOR_WORKSPACE_FILE=str(file))
    assert result.returncode == 1
    assert "Stage dev has no definition of its Workspace. Pass a file with --file" in result.stderr
    assert run("plan", "--file", file).returncode == 2


def test_error_for_a_stage_without_an_account_names_the_remedy(stage):
    stage.set(TWILIO_ACCOUNT_SID="")
    result = run("plan")
    assert result.returncode == 1
    assert "does not set TWILIO_ACCOUNT_SID. Set it, and store the API key" in result.stderr


def test_workflows_in_the_settings_are_not_deleted(stage):
    queue = stage.workspace.task_queues.list()[0]
    configuration = json.dumps({"task_routing": {"default_filter": {"queue": queue.sid}}})
    other, unused = (
        stage.workspace.workflows.create(friendly_name=name, configuration=configuration)
        for name in ("Other", "Unused")
    )
    stage.set(RESERVATION_TIMEOUTS_BY_WORKFLOW=json.dumps({other.sid: 60}))
    result = run("apply", "--prune", "--force", "--yes")
    assert result.returncode == 0, result.stderr
    assert "the Workspace has no" not in result.stderr
    assert (
        "Workflow 'Other' (its SID is in RESERVATION_TIMEOUTS_BY_WORKFLOW of stage dev. Before you "
        "delete it, remove the entry)\n" in result.stdout
    )
    assert (
        "(its SID is in TWILIO_WORKFLOW_SID of stage dev. Before you delete it, set another SID)\n"
        in result.stdout
    )
    kept = {item.sid for item in workflows(stage).values()}
    assert {stage.twilio.workflow_sid, other.sid} < kept
    assert unused.sid not in kept


@pytest.mark.parametrize("command", [("plan",), ("apply", "--force", "--yes")])
def test_workflow_with_an_uppercase_sid_in_the_settings_is_not_deleted(stage, command):
    stage.set(TWILIO_WORKFLOW_SID="WW" + stage.twilio.workflow_sid[2:].upper())
    refused = run(*command, "--prune")
    assert refused.returncode == 1
    assert "TWILIO_WORKFLOW_SID must be WW followed by 32 lowercase hexadecimal" in refused.stderr
    assert stage.workflow.fetch().sid == stage.twilio.workflow_sid


@pytest.mark.parametrize("command", [("plan",), ("apply", "--force", "--yes")])
def test_prune_is_refused_while_the_workflow_in_the_settings_is_missing(stage, command):
    stage.set(TWILIO_WORKFLOW_SID="WW" + "0" * 32)
    refused = run(*command, "--prune")
    assert refused.returncode == 1
    assert (
        f"Error: Nothing was changed. TWILIO_WORKFLOW_SID of stage dev is WW{'0' * 32}, but the "
        "Workspace has no such Workflow. If the SID is wrong, --prune could delete the Workflow "
        "that the stage needs. Correct the SID, or apply without --prune first.\n"
    ) in refused.stderr
    assert stage.workflow.fetch().sid == stage.twilio.workflow_sid


def test_timeout_of_a_workflow_that_no_longer_exists_is_removed(stage, file):
    stage.deploy("--yes")
    stage.workspace.workflows(workflows(stage)["Main"].sid).delete()
    before = stage.variables["RESERVATION_TIMEOUTS_BY_WORKFLOW"]
    file.write_text(json.dumps({"friendly_name": "Sales"}))
    assert run("apply", "--yes").returncode == 0
    assert stage.variables["RESERVATION_TIMEOUTS_BY_WORKFLOW"] == before
    file.write_text(json.dumps({"friendly_name": "Sales", "workflows": []}))
    assert run("apply", "--yes").returncode == 0
    assert stage.variables["RESERVATION_TIMEOUTS_BY_WORKFLOW"] == "{}"


def test_missing_workflow_is_reported_and_replaced(stage):
    stage.workspace.workflows(stage.twilio.workflow_sid).delete()
    planned = run("plan")
    warning = (
        f"Warning: TWILIO_WORKFLOW_SID of stage dev is {stage.twilio.workflow_sid}, but the "
        "Workspace has no such Workflow.\n"
    )
    assert (planned.returncode, warning in planned.stderr) == (2, True)
    assert run("apply", "--yes").returncode == 0
    assert stage.variables["TWILIO_WORKFLOW_SID"] == workflows(stage)["Main"].sid
    assert "Warning" not in run("plan").stderr


def test_missing_sids_are_read_from_the_shell_as_in_a_deployment(stage):
    sids = {name: value for name, value in stage.environ.items() if name in SID_PREFIXES}
    stage.set(**dict.fromkeys(sids, ""))
    planned = run("plan", **sids)
    assert f"Workspace 'Sales' ({stage.twilio.workspace_sid})\n" in planned.stdout
    assert stage.variables["TWILIO_WORKSPACE_SID"] == ""
    exported = run("export", **sids)
    assert "friendly_name: Quickstart\n" in exported.stdout
    applied = run("apply", "--yes", **sids)
    assert applied.returncode == 0, applied.stderr
    assert {name: stage.variables[name] for name in sids} == sids
    assert stage.workspace.fetch().friendly_name == "Sales"


def test_sids_in_the_shell_do_not_replace_the_sids_of_the_stage(stage):
    planned = run("plan", TWILIO_WORKSPACE_SID="WS" + "0" * 32)
    assert f"Workspace 'Sales' ({stage.twilio.workspace_sid})\n" in planned.stdout
    note = (
        "These shell variables are ignored, because the stage has different values for them: "
        "TWILIO_WORKSPACE_SID."
    )
    assert note in planned.stderr


def test_malformed_sid_in_the_shell_is_an_error(without_workspace):
    refused = run("plan", TWILIO_WORKSPACE_SID="WS" + "A" * 32)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "TWILIO_WORKSPACE_SID must be WS followed by 32 lowercase" in refused.stderr


def test_unknown_workspace_is_an_error(stage):
    stage.set(TWILIO_WORKSPACE_SID="WS" + "0" * 32)
    result = run("plan")
    assert (result.returncode, "has no Workspace WS000" in result.stderr) == (1, True)


@pytest.fixture
def without_workspace(stage, monkeypatch):
    """An undeployed stage without a Workspace."""
    stage.set(TWILIO_WORKSPACE_SID="", TWILIO_WORKFLOW_SID="")
    monkeypatch.setattr(chalice_record, "public_url", lambda *_: None)
    return stage


def test_missing_workspace_is_created_once(without_workspace):
    stage = without_workspace
    planned = run("plan")
    assert planned.stdout.startswith("Workspace 'Sales' (new)\n+ create Workspace 'Sales'\n")
    assert (
        "These callback URLs are left out until the stage is deployed, because ${api} has no value "
        "yet:\n" in planned.stdout
    )
    applied = run("apply", "--yes")
    assert applied.returncode == 0, applied.stderr
    created = stage.twilio.client().taskrouter.v1.workspaces.list(friendly_name="Sales")
    assert stage.variables["TWILIO_WORKSPACE_SID"] == created[0].sid
    context = stage.twilio.client().taskrouter.v1.workspaces(created[0].sid)
    assert stage.variables["TWILIO_WORKFLOW_SID"] == context.workflows.list()[0].sid
    assert stage.variables["RESERVATION_TIMEOUT_SECONDS"] == "60"
    assert run("plan").returncode == 0


def test_workspace_of_an_interrupted_apply_is_found_by_its_name(without_workspace):
    stage = without_workspace
    created = stage.twilio.client().taskrouter.v1.workspaces.create(friendly_name="Sales")
    assert f"'Sales' ({created.sid}, found by its name)\n" in run("plan").stdout
    assert json.loads(run("plan", "--json").stdout)["found_by_name"] is True
    assert run("apply", "--yes").returncode == 0
    assert stage.variables["TWILIO_WORKSPACE_SID"] == created.sid
    assert f"'Sales' ({created.sid})\n" in run("plan").stdout


def test_prune_is_refused_until_the_sid_is_written(without_workspace, file):
    client = without_workspace.twilio.client().taskrouter.v1
    context = client.workspaces(client.workspaces.create(friendly_name="Sales").sid)
    context.task_queues.create(friendly_name="Theirs")
    for command in (("plan",), ("apply", "--yes", "--force")):
        refused = run(*command, "--prune")
        assert (refused.returncode, "was found by its name. Set TWILIO_" in refused.stderr) == (
            1,
            True,
        )
    assert [item.friendly_name for item in context.task_queues.list()] == ["Theirs"]
    assert run("apply", "--yes").returncode == 0
    assert run("apply", "--prune", "--yes", "--force").returncode == 0
    assert [item.friendly_name for item in context.task_queues.list()] == ["Everyone"]


@pytest.mark.parametrize("is_in_function_settings", [False, True])
@pytest.mark.parametrize("own_sid", [False, True])
def test_workspace_of_another_stage_is_refused(without_workspace, own_sid, is_in_function_settings):
    stage = without_workspace
    created = stage.twilio.client().taskrouter.v1.workspaces.create(friendly_name="Sales")
    content = json.loads(stage.config.read_text())
    upper = "WS" + created.sid[2:].upper()
    prod = {"environment_variables": {"TWILIO_WORKSPACE_SID": upper}}
    if is_in_function_settings:
        prod = {"lambda_functions": {"sweep": None, "api_handler": prod}}
    content["stages"]["prod"] = prod
    if own_sid:
        content["stages"]["dev"]["environment_variables"]["TWILIO_WORKSPACE_SID"] = created.sid
    stage.config.write_text(json.dumps(content))
    before = stage.config.read_text()
    for command in (("plan",), ("apply", "--yes")):
        refused = run(*command)
        assert refused.returncode == 1
        message = f"the Workspace {created.sid} is also used by stage prod (TWILIO_WORKSPACE_SID)."
        assert message in refused.stderr
        assert ("remove workspace_file" in refused.stderr) == own_sid
        assert ("friendly_name in the definition." in refused.stderr) != own_sid
    assert stage.config.read_text() == before


def test_workspace_shared_with_the_local_stage_is_accepted(stage):
    content = json.loads(stage.config.read_text())
    sid = content["stages"]["dev"]["environment_variables"]["TWILIO_WORKSPACE_SID"]
    content["stages"]["local"]["environment_variables"]["TWILIO_WORKSPACE_SID"] = sid
    stage.config.write_text(json.dumps(content))
    assert run("plan").returncode == 2


def change_file(file, **keys):
    file.write_text(json.dumps(VALUE | keys))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"activities": [{"friendly_name": "Available", "available": False}]},
            "Nothing was changed. Activity 'Available' cannot be changed as planned",
        ),
        (
            {"default_activity": "Idle"},
            "Workspace 'Sales' refers to the Activity 'Idle', which is neither",
        ),
    ],
)
def test_impossible_definition_is_refused_before_a_workspace_is_created(
    without_workspace, file, keys, message
):
    change_file(file, **keys)
    refused = run("apply", "--yes")
    assert (refused.returncode, message in refused.stderr) == (1, True), refused.stderr
    workspaces = without_workspace.twilio.client().taskrouter.v1.workspaces
    assert workspaces.list(friendly_name="Sales") == []


def test_plan_of_a_new_workspace_contains_everything_that_is_applied(without_workspace, file):
    idle = {"friendly_name": "Idle", "available": True}
    renamed = {"friendly_name": "Away", "was": "Unavailable"}
    change_file(file, default_activity="Idle", activities=[idle, renamed])
    planned = run("plan", "--prune", "--json")
    changes = [
        (item["action"], item["name"], item["sid"])
        for item in json.loads(planned.stdout)["changes"]
    ]
    assert changes == [
        ("create", "Sales", ""),
        ("create", "Idle", ""),
        ("rename", "Away", ""),
        ("create", "Everyone", ""),
        ("create", "Main", ""),
        ("delete", "Available", ""),
    ]
    applied = run("apply", "--prune", "--yes")
    assert applied.returncode == 0, applied.stderr
    assert "Activity 'Available': deleted" in applied.stderr
    assert run("plan", "--prune").returncode == 0


def test_sid_of_a_new_workspace_is_written_before_other_changes(without_workspace):
    stage = without_workspace
    stage.twilio.fault("request", "error", method="POST", path="*/TaskQueues", status=403)
    failed = run("apply", "--yes")
    assert failed.returncode == 1
    (created,) = stage.twilio.client().taskrouter.v1.workspaces.list(friendly_name="Sales")
    assert stage.variables["TWILIO_WORKSPACE_SID"] == created.sid


def test_workspace_that_appears_after_the_plan_is_not_changed(without_workspace, file):
    opened = target.open_target("dev")
    definition = opened.read_definition(None)
    planned = runs.plan_changes(opened, definition, prune=False)
    workspaces = without_workspace.twilio.client().taskrouter.v1.workspaces
    created = workspaces.create(friendly_name="Sales")
    dialog = Dialog(is_interactive=False, assumes_yes=True)
    with pytest.raises(OperatorError, match="has changed since the plan was made"):
        runs.apply_plan(opened, definition, planned, dialog, force=False)
    assert workspaces(created.sid).task_queues.list() == []


def test_lost_response_does_not_create_a_second_workspace(without_workspace):
    stage = without_workspace
    stage.twilio.fault("request", "cut", method="POST", path="/v1/Workspaces", moment="after")
    assert run("apply", "--yes").returncode == 0
    assert len(stage.twilio.client().taskrouter.v1.workspaces.list(friendly_name="Sales")) == 1


def test_ambiguous_workspace_name_is_refused(without_workspace):
    workspaces = without_workspace.twilio.client().taskrouter.v1.workspaces
    for _ in range(2):
        workspaces.create(friendly_name="Sales")
    result = run("plan")
    assert result.returncode == 1
    assert "The account has several Workspaces with the name 'Sales': WS" in result.stderr


def test_export_prints_the_workspace_of_the_stage(stage):
    stage.deploy("--yes")
    result = run("export", "--workers")
    assert result.returncode == 0
    assert "event_callback_url: ${api}/event_callback\n" in result.stdout
    assert "friendly_name: Alice" in result.stdout
    assert "Alice" not in run("export").stdout
    stage.set(TWILIO_WORKSPACE_SID="")
    assert "does not set TWILIO_WORKSPACE_SID. Set it to the SID" in run("export").stderr


def test_relative_workspace_file_is_resolved_against_the_project_root(stage):
    content = json.loads(stage.config.read_text())
    content["stages"]["dev"]["workspace_file"] = "own.yaml"
    stage.config.write_text(json.dumps(content))
    missing = Path(__file__).parents[3] / "own.yaml"
    assert run("plan").stderr.endswith(
        f"Error: {missing}: the file cannot be read: No such file or directory.\n"
    )
