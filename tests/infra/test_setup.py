"""The deploy command completes and verifies the stage's configuration."""

import json
import re
import stat

import boto3
import click
import pytest
import requests
from click.testing import CliRunner
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient

from infra import OperatorError
from infra.__main__ import main
from infra.aws import stacks, stage_config
from infra.commands import dialog
from infra.twilio_account import Account, Workspace
from tests.infra.account import secrets_of

SID = {prefix: prefix + "0" * 32 for prefix in ("AC", "WS", "WW", "SK")}
SIDS = ("TWILIO_ACCOUNT_SID", "TWILIO_WORKSPACE_SID", "TWILIO_WORKFLOW_SID")
SECRETS = ("TWILIO_AUTH_TOKEN", "TWILIO_API_KEY_SID", "TWILIO_API_KEY_SECRET")


@pytest.fixture
def interactive_stage(new_stage):
    """A stage that is deployed from a terminal, but not for the first time."""
    new_stage.in_terminal, new_stage.is_first = True, False
    return new_stage


@pytest.fixture
def unchanged_stack(monkeypatch):
    monkeypatch.setattr(
        stacks, "create_or_update", lambda *_: pytest.fail("The stack was changed.")
    )


def run_for_dev(command):
    return CliRunner().invoke(main, [command, "--stage", "dev"])


def account_answers(twilio):
    return [twilio.account_sid, twilio.auth_token, twilio.api_key_sid, twilio.api_key_secret]


def is_unchanged(stage):
    return stage.secrets is None and stage.deployments == 0 and stage.variables[SIDS[0]] == ""


def expect_error(stage, result, message):
    """Check that the last line is this error, nothing was deployed, and no secret was printed."""
    assert result.exit_code == 1, result.output
    assert result.output.splitlines()[-1].startswith("Error: ")
    assert message in result.output.splitlines()[-1]
    assert stage.deployments == 0
    for secret in (stage.twilio.auth_token, stage.twilio.api_key_secret):
        assert secret not in result.output


def test_command_in_a_terminal_asks_for_all_values_and_writes_them(interactive_stage):
    twilio = interactive_stage.twilio

    result = interactive_stage.deploy(
        "--no-callback-urls", answers=[*account_answers(twilio), "1", "1"]
    )

    assert result.exit_code == 0, result.output
    assert interactive_stage.deployments == 1
    written = interactive_stage.variables
    assert [written[name] for name in SIDS] == [
        twilio.account_sid,
        twilio.workspace_sid,
        twilio.workflow_sid,
    ]
    assert written["RESERVATION_TIMEOUT_SECONDS"] == "1200"
    assert interactive_stage.secrets == {
        "auth_tokens": [twilio.auth_token],
        "api_keys": {twilio.api_key_sid: twilio.api_key_secret},
    }
    for secret in (twilio.auth_token, twilio.api_key_secret):
        assert secret not in result.output


def test_repeated_run_asks_no_questions_and_writes_nothing(interactive_stage):
    interactive_stage.deploy("--yes", **interactive_stage.environ)
    before = interactive_stage.config.stat()
    interactive_stage.twilio.reset()  # clears the log, and keeps the SIDs
    interactive_stage.deploy("--yes")
    posted = len(interactive_stage.requests("POST"))

    result = interactive_stage.deploy()

    assert result.exit_code == 0, result.output
    assert "?" not in result.output
    assert "Written" not in result.output
    assert len(interactive_stage.requests("POST")) == posted
    after = interactive_stage.config.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_config_keeps_its_order_and_format(new_stage):
    new_stage.config.chmod(0o640)
    content = new_stage.config.read_text()

    new_stage.deploy(**new_stage.environ)

    assert stat.S_IMODE(new_stage.config.stat().st_mode) == 0o640
    expected = content
    for name in SIDS:
        expected = expected.replace(f'"{name}": ""', f'"{name}": "{new_stage.environ[name]}"', 1)
    lines = new_stage.config.read_text().splitlines()
    added = [line for line in lines if "RESERVATION_TIMEOUT_SECONDS" in line]
    assert [line.strip() for line in added] == ['"RESERVATION_TIMEOUT_SECONDS": "1200"']
    # The line before the added line gets a comma.
    kept = "\n".join(line for line in lines if line not in added)
    assert kept.replace(",\n      }", "\n      }") + "\n" == expected


def test_committed_config_has_the_format_that_the_command_writes():
    text = stage_config.CONFIG.read_text(encoding="utf-8")
    assert json.dumps(json.loads(text), indent=2, ensure_ascii=False) + "\n" == text


def test_symbolic_link_to_the_config_is_kept(new_stage):
    target = new_stage.config.with_name("shared.json")
    new_stage.config.rename(target)
    new_stage.config.symlink_to(target)

    new_stage.deploy(**new_stage.environ)

    assert new_stage.config.is_symlink()
    assert new_stage.variables["TWILIO_ACCOUNT_SID"] == new_stage.twilio.account_sid


def test_environment_provides_all_values_without_a_terminal(new_stage):
    result = new_stage.deploy(**new_stage.environ)

    assert result.exit_code == 0, result.output
    assert new_stage.variables["TWILIO_WORKFLOW_SID"] == new_stage.twilio.workflow_sid
    assert new_stage.secrets["auth_tokens"] == [new_stage.twilio.auth_token]
    assert new_stage.deployments == 1


@pytest.mark.parametrize("options", [[], ["--no-input"]])
@pytest.mark.parametrize("given", [(), SIDS, SECRETS, (SIDS[0], SECRETS[0]), (*SIDS, *SECRETS[1:])])
def test_one_error_names_all_missing_values(interactive_stage, given, options):
    interactive_stage.in_terminal = bool(options)
    environ = {name: interactive_stage.environ[name] for name in given}

    result = interactive_stage.deploy(*options, **environ)

    missing = [name for name in (*SIDS, *SECRETS) if name not in given]
    verb = "are" if len(missing) > 1 else "is"
    expect_error(interactive_stage, result, f"Stage dev: {', '.join(missing)} {verb} not set.")
    assert is_unchanged(interactive_stage)


def test_existing_values_are_not_reported_as_missing(new_stage):
    new_stage.set(TWILIO_ACCOUNT_SID=new_stage.twilio.account_sid)
    new_stage.store_secrets()

    result = new_stage.deploy()

    message = "Stage dev: TWILIO_WORKSPACE_SID, TWILIO_WORKFLOW_SID are not set."
    expect_error(new_stage, result, message)


def test_command_asks_only_for_missing_values(interactive_stage):
    twilio = interactive_stage.twilio
    interactive_stage.set(TWILIO_ACCOUNT_SID=twilio.account_sid)
    interactive_stage.store_secrets()

    result = interactive_stage.deploy(
        "--no-callback-urls", TWILIO_WORKSPACE_SID=twilio.workspace_sid, answers=["1"]
    )

    assert result.exit_code == 0, result.output
    assert "Number of the Workflow" in result.output
    assert not any(text in result.output for text in ("Account SID", "Auth token", "Workspaces in"))


def test_prompt_is_repeated_after_a_malformed_answer(interactive_stage):
    answers = account_answers(interactive_stage.twilio)

    result = interactive_stage.deploy(
        "--no-callback-urls", answers=["AC1", *answers, "2", "1", "1"]
    )

    assert result.exit_code == 0, result.output
    assert "A SID must be AC followed by 32 lowercase hexadecimal digits." in result.output
    assert "Error: Enter 1, the number of the only Workspace.\n" in result.output


@pytest.mark.parametrize("answer", ["x", "0", "3", "1.5", "-1", "²"])
def test_prompt_is_repeated_after_an_answer_that_is_not_a_listed_number(answer):
    options = [(SID["WS"], "One"), (SID["WW"], "Two")]

    @click.command()
    def command():
        click.echo(dialog.choose("Workspace", options))

    result = CliRunner().invoke(command, input=f"{answer}\n2\n")

    assert "Error: Enter a number from 1 to 2.\n" in result.output
    assert result.output.endswith(f"{SID['WW']}\n")


@pytest.mark.parametrize(
    ("code", "page"), [(20001, "/docs/api/errors/20001."), (400, "/docs/api/errors.")]
)
def test_error_links_to_the_page_about_the_twilio_error_code(code, page):
    account = Account("https://x.example", SID["AC"], SID["SK"], "secret", remedy="")

    def refuse():
        raise TwilioRestException(400, "/", "Bad", code=code)

    with pytest.raises(OperatorError, match="request with HTTP status 400") as error:
        account.call(refuse)
    assert str(error.value).endswith(page)


WRONG = {
    "key secret": ({"TWILIO_API_KEY_SECRET": "x"}, "Twilio refused the API key SK"),
    "key": ({"TWILIO_API_KEY_SID": SID["SK"]}, f"Twilio refused the API key {SID['SK']}"),
    "auth token": ({"TWILIO_AUTH_TOKEN": "x"}, "Twilio refused the auth token for account AC"),
    "account": ({"TWILIO_ACCOUNT_SID": SID["AC"]}, f"auth token for account {SID['AC']}"),
    "Workspace": ({"TWILIO_WORKSPACE_SID": SID["WS"]}, f"has no Workspace {SID['WS']}. Correct"),
    "Workflow": ({"TWILIO_WORKFLOW_SID": SID["WW"]}, f"has no Workflow {SID['WW']}. Correct"),
    "unsendable token": (
        {"TWILIO_AUTH_TOKEN": "“token”"},
        "TWILIO_AUTH_TOKEN must consist of printable ASCII characters: copy it again",
    ),
    "unsendable key": (
        {"TWILIO_API_KEY_SECRET": "секрет"},
        "TWILIO_API_KEY_SECRET must consist of printable ASCII characters",
    ),
    "malformed SID": ({"TWILIO_WORKFLOW_SID": "WW1"}, "TWILIO_WORKFLOW_SID must be WW followed"),
    "uppercase SID": (
        {"TWILIO_WORKFLOW_SID": "WW" + "A" * 32},
        "TWILIO_WORKFLOW_SID must be WW followed by 32 lowercase hexadecimal digits.",
    ),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_wrong_value_is_reported_before_anything_is_written(new_stage, changes, message):
    result = new_stage.deploy(**new_stage.environ | changes)

    expect_error(new_stage, result, message)
    assert is_unchanged(new_stage)


@pytest.mark.parametrize("command", ["deploy", "prepare"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"TWILIO_ACCOUNT_SID": SID["AC"]}, f"Account {SID['AC']} has no Workspace WS"),
        ({"TWILIO_WORKSPACE_SID": SID["WS"]}, f"has no Workspace {SID['WS']}"),
        ({"TWILIO_WORKFLOW_SID": SID["WW"]}, f"has no Workflow {SID['WW']}"),
    ],
)
def test_wrong_configured_sid_is_reported_before_the_deployment(
    new_stage, unchanged_stack, command, changes, message
):
    new_stage.configure()
    new_stage.set(**changes)

    expect_error(new_stage, run_for_dev(command), message)


@pytest.mark.parametrize("command", ["deploy", "prepare"])
def test_refused_stored_key_is_reported_before_the_deployment(new_stage, unchanged_stack, command):
    new_stage.configure()
    new_stage.store_secrets(api_keys={SID["SK"]: "revoked"})

    result = run_for_dev(command)

    expect_error(new_stage, result, f"Twilio refused the API key {SID['SK']}")
    expect_error(new_stage, result, "python -m infra secrets put --stage dev")


REMEDY = re.compile("python -m infra (.+)$")


@pytest.mark.parametrize("command", ["deploy", "prepare"])
@pytest.mark.parametrize("configured", [[], SIDS[:1], SIDS])
def test_suggested_command_stores_the_missing_secrets(
    new_stage, unchanged_stack, command, configured
):
    new_stage.set(**{name: new_stage.environ[name] for name in configured})
    remedy = REMEDY.search(run_for_dev(command).output.rstrip())[1]
    assert remedy == "secrets put --stage dev"

    value = secrets_of(new_stage.twilio)
    arguments = [*remedy.split(), "--stdin"]
    stored = CliRunner().invoke(main, arguments, input=json.dumps(value))

    assert stored.exit_code == 0, stored.output
    assert new_stage.secrets == value


def test_error_for_missing_sids_alone_does_not_mention_secrets_put(new_stage):
    new_stage.store_secrets()

    expect_error(new_stage, new_stage.deploy(), "to enter them.")
    assert "secrets put" not in new_stage.deploy().output


def test_suggested_command_replaces_the_refused_key_of_a_stage_without_sids(new_stage):
    new_stage.store_secrets(api_keys={SID["SK"]: "revoked"})
    environ = {name: new_stage.environ[name] for name in SIDS}
    remedy = REMEDY.search(new_stage.deploy(**environ).output.rstrip())[1]

    value = json.dumps(secrets_of(new_stage.twilio))
    stored = CliRunner().invoke(main, [*remedy.split(), "--stdin"], input=value)

    assert stored.exit_code == 0, stored.output
    assert new_stage.deploy(**environ).exit_code == 0


def test_error_for_packaging_a_stage_without_sids_mentions_the_prepare_command(new_stage, tmp_path):
    result = CliRunner().invoke(main, ["package", "--stage", "dev", str(tmp_path / "out")])

    assert result.exit_code == 1
    assert result.output.endswith("asks for the values: python -m infra prepare --stage dev\n")


WARNING = "Warning: the stored auth token can't be verified. "


@pytest.mark.parametrize("tokens", [["rotated"], ["rotated", "expired"]])
def test_refused_stored_auth_tokens_cause_a_one_line_warning(new_stage, tokens):
    new_stage.configure()
    new_stage.store_secrets(auth_tokens=tokens)

    result = new_stage.deploy()

    assert (result.exit_code, new_stage.deployments) == (0, 1)
    (warning,) = [line for line in result.output.splitlines() if line.startswith("Warning")]
    account = new_stage.twilio.account_sid
    assert warning.startswith(f"{WARNING}Twilio refused the auth token for account {account}")
    assert warning.endswith(
        "To replace the stored secrets, run: python -m infra secrets put --stage dev"
    )
    assert not [token for token in tokens if token in result.output]


@pytest.mark.parametrize("position", [0, 1])
def test_one_accepted_auth_token_is_enough_during_a_rotation(new_stage, position):
    new_stage.configure()
    tokens = ["next"]
    tokens.insert(position, new_stage.twilio.auth_token)
    new_stage.store_secrets(auth_tokens=tokens)

    assert "Warning" not in new_stage.deploy().output


@pytest.mark.parametrize("error", [requests.ConnectionError, requests.ReadTimeout])
def test_auth_token_that_cannot_be_verified_causes_a_warning(new_stage, monkeypatch, error):
    new_stage.configure()
    send = TwilioHttpClient.request

    def fail_for_auth_token(client, method, url, *args, auth=None, **options):
        if auth and auth[0] == new_stage.twilio.account_sid:
            assert client.timeout == 10
            raise error("the network failed")
        return send(client, method, url, *args, auth=auth, **options)

    monkeypatch.setattr(TwilioHttpClient, "request", fail_for_auth_token)
    result = new_stage.deploy()

    assert (result.exit_code, new_stage.deployments) == (0, 1)
    (warning,) = [line for line in result.output.splitlines() if line.startswith("Warning")]
    assert warning.startswith(f"{WARNING}TaskRouter at {new_stage.twilio.url} ")


def test_warning_about_a_token_in_secrets_manager_names_secrets_manager(new_stage):
    new_stage.configure()
    new_stage.set(SECRETS_PARAMETER="/aws/reference/secretsmanager/twilio")
    value = new_stage.secrets | {"auth_tokens": ["rotated"]}
    boto3.client("secretsmanager").create_secret(Name="twilio", SecretString=json.dumps(value))

    result = new_stage.deploy()

    assert "refuses all callbacks. Correct the secret in Secrets Manager.\n" in result.output


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"kind": "error", "status": 429}, "throttled the request. Run the command"),
        ({"kind": "error", "status": 503}, "Twilio failed with HTTP status 503."),
        ({"kind": "error", "status": 403}, "Twilio refused the API key"),
        ({"kind": "error", "status": 400}, "Twilio refused the request with HTTP status 400."),
        ({"kind": "cut"}, "Check TWILIO_TASKROUTER_URL"),
    ],
)
def test_failing_request_to_twilio_is_reported(new_stage, fault, message):
    new_stage.configure()
    new_stage.twilio.fault("request", **fault)

    expect_error(new_stage, new_stage.deploy(), message)


def test_unreachable_taskrouter_is_reported(new_stage):
    new_stage.configure()
    new_stage.set(TWILIO_TASKROUTER_URL="http://127.0.0.1:1")

    result = new_stage.deploy()

    expect_error(new_stage, result, "at http://127.0.0.1:1 can't be reached: connection refused")


def test_workspace_without_a_workflow_is_reported(interactive_stage):
    interactive_stage.workflow.delete()
    answers = account_answers(interactive_stage.twilio)

    result = interactive_stage.deploy(answers=[*answers, "1"])

    expect_error(interactive_stage, result, "There is no Workflow in Workspace WS")


def test_account_without_a_workspace_is_reported(interactive_stage):
    interactive_stage.workspace.delete()

    result = interactive_stage.deploy(answers=account_answers(interactive_stage.twilio))

    expect_error(interactive_stage, result, "There is no Workspace in account AC")


def test_changed_reservation_timeout_is_written(new_stage):
    new_stage.configure()
    new_stage.set(RESERVATION_TIMEOUT_SECONDS="1200")
    new_stage.workflow.update(task_reservation_timeout=45)

    result = new_stage.deploy()

    assert "config.json: RESERVATION_TIMEOUT_SECONDS=45\n" in result.output
    assert new_stage.variables["RESERVATION_TIMEOUT_SECONDS"] == "45"


REJECTION = {"REJECT_AFTER_SECONDS": "500", "REJECT_ACTIVITY_SID": "WA" + "0" * 32}


def test_settings_are_checked_against_the_timeout_of_the_workflow(new_stage):
    new_stage.configure()
    new_stage.set(**REJECTION, RESERVATION_TIMEOUT_SECONDS="120")
    new_stage.workflow.update(task_reservation_timeout=1000)

    result = new_stage.deploy()

    assert (result.exit_code, new_stage.deployments) == (0, 1), result.output
    assert new_stage.variables["RESERVATION_TIMEOUT_SECONDS"] == "1000"


@pytest.mark.parametrize("timeout", [90, 560, 570])
def test_settings_that_contradict_the_workflow_are_refused_and_not_written(new_stage, timeout):
    new_stage.configure()
    new_stage.set(**REJECTION, RESERVATION_TIMEOUT_SECONDS="1000")
    new_stage.workflow.update(task_reservation_timeout=timeout)
    before = new_stage.config.read_text()

    result = new_stage.deploy()

    problem = (
        "Stage dev in .chalice/config.json: REJECT_AFTER_SECONDS + 60 (the sweep interval) + "
        "SWEEP_GRACE_SECONDS is 570 seconds, but must be less than the shortest reservation "
        f"timeout, {timeout} seconds (RESERVATION_TIMEOUT_SECONDS, "
        "RESERVATION_TIMEOUTS_BY_WORKFLOW). The reservation timeout of the Workflow "
        f"{new_stage.twilio.workflow_sid} is {timeout} seconds."
    )
    expect_error(new_stage, result, problem)
    assert new_stage.config.read_text() == before

    new_stage.workflow.update(task_reservation_timeout=571)
    assert new_stage.deploy().exit_code == 0


@pytest.mark.parametrize("command", ["deploy", "prepare"])
def test_nothing_is_written_for_a_new_stage_with_contradictory_settings(new_stage, command):
    new_stage.set(**REJECTION)
    new_stage.workflow.update(task_reservation_timeout=90)
    before = new_stage.config.read_text()

    arguments = [command, "--stage", "dev"]
    result = CliRunner().invoke(main, arguments, env=new_stage.environ)

    expect_error(new_stage, result, f"{new_stage.twilio.workflow_sid} is 90 seconds.")
    assert (new_stage.config.read_text(), new_stage.secrets) == (before, None)


def test_variables_that_become_too_long_are_refused_and_not_written(new_stage):
    declared = json.loads(new_stage.config.read_text())
    variables = declared["stages"]["dev"]["environment_variables"]
    variables["PYTHONPADDING"] = "x" * (4_096 - len(json.dumps(variables)) - 40)
    new_stage.config.write_text(before := json.dumps(declared))

    result = new_stage.deploy(**new_stage.environ)

    expect_error(new_stage, result, "but Lambda allows at most 4096")
    assert (new_stage.config.read_text(), new_stage.secrets) == (before, None)


@pytest.mark.parametrize("timeout", [0, 86_401, None])
def test_invalid_timeout_of_the_workflow_is_refused_and_not_written(
    new_stage, monkeypatch, timeout
):
    new_stage.configure()
    before = new_stage.config.read_text()
    fetch = Workspace.fetch_workflow

    def fetch_with_timeout(workspace):
        workflow = fetch(workspace)
        workflow.task_reservation_timeout = timeout
        return workflow

    monkeypatch.setattr(Workspace, "fetch_workflow", fetch_with_timeout)

    expect_error(new_stage, new_stage.deploy(), "RESERVATION_TIMEOUT_SECONDS must be a whole")
    assert new_stage.config.read_text() == before


def test_timeouts_by_workflow_entry_for_the_stages_workflow_is_corrected(new_stage):
    new_stage.configure()
    sid = new_stage.twilio.workflow_sid
    new_stage.set(RESERVATION_TIMEOUTS_BY_WORKFLOW=json.dumps({sid: 300}))
    new_stage.workflow.update(task_reservation_timeout=45)

    result = new_stage.deploy()

    expected = json.dumps({sid: 45})
    assert f"RESERVATION_TIMEOUTS_BY_WORKFLOW={expected}\n" in result.output
    assert new_stage.variables["RESERVATION_TIMEOUTS_BY_WORKFLOW"] == expected
    assert "Written" not in new_stage.deploy().output


def create_workflow(stage, timeout):
    return stage.workspace.workflows.create(
        friendly_name="Other",
        configuration=stage.workflow.fetch().configuration,
        task_reservation_timeout=timeout,
    ).sid


def test_timeouts_by_workflow_entry_for_another_workflow_is_corrected(new_stage):
    new_stage.configure()
    sid = create_workflow(new_stage, 77)
    new_stage.set(RESERVATION_TIMEOUTS_BY_WORKFLOW=json.dumps({sid: 300}))

    new_stage.deploy()

    assert json.loads(new_stage.variables["RESERVATION_TIMEOUTS_BY_WORKFLOW"]) == {sid: 77}


def test_settings_are_checked_against_the_timeout_of_another_workflow(new_stage):
    new_stage.configure()
    sid = create_workflow(new_stage, 77)
    new_stage.set(**REJECTION, RESERVATION_TIMEOUTS_BY_WORKFLOW=json.dumps({sid: 1000}))
    before = new_stage.config.read_text()

    expect_error(new_stage, new_stage.deploy(), "shortest reservation timeout, 77 seconds")
    assert new_stage.config.read_text() == before


def test_timeouts_by_workflow_entry_for_a_missing_workflow_is_kept_with_a_warning(new_stage):
    new_stage.configure()
    by_workflow = json.dumps({SID["WW"]: 300})
    new_stage.set(RESERVATION_TIMEOUTS_BY_WORKFLOW=by_workflow)

    result = new_stage.deploy()

    assert result.exit_code == 0, result.output
    assert (
        "Warning: RESERVATION_TIMEOUTS_BY_WORKFLOW can't be verified. Workspace "
        f"{new_stage.twilio.workspace_sid} has no Workflow {SID['WW']}. Correct or remove the "
        "Workflow's SID in this setting.\n"
    ) in result.output
    assert new_stage.variables["RESERVATION_TIMEOUTS_BY_WORKFLOW"] == by_workflow


def test_shell_values_that_differ_from_the_stages_values_are_reported_but_not_used(new_stage):
    new_stage.configure()
    before = new_stage.secrets

    result = new_stage.deploy(TWILIO_ACCOUNT_SID=SID["AC"], TWILIO_AUTH_TOKEN="other")

    assert result.exit_code == 0, result.output
    assert (
        "These shell variables are ignored, because the stage has different values for them: "
        "TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN. To change"
    ) in result.output
    assert "other\n" not in result.output
    assert new_stage.variables["TWILIO_ACCOUNT_SID"] == new_stage.twilio.account_sid
    assert new_stage.secrets == before


def test_shell_values_that_equal_the_stages_values_are_not_reported(new_stage):
    new_stage.configure()

    assert (
        "because the stage has different values" not in new_stage.deploy(**new_stage.environ).output
    )


def test_malformed_stored_secrets_are_reported(new_stage):
    new_stage.configure()
    new_stage.store_secrets(auth_tokens=[])

    expect_error(new_stage, new_stage.deploy(), "/taskrouter-callbacks/dev/secrets: ")


def test_missing_secrets_manager_secret_is_reported(interactive_stage):
    interactive_stage.configure()
    interactive_stage.set(SECRETS_PARAMETER="/aws/reference/secretsmanager/twilio/dev")

    result = interactive_stage.deploy()

    expect_error(interactive_stage, result, "Create the secret in Secrets Manager")


def test_required_prompt_is_repeated_with_a_reason_after_an_empty_answer(new_stage):
    new_stage.in_terminal = True

    result = new_stage.deploy(answers=["", new_stage.twilio.account_sid, "", "x"])

    assert result.output.count("Error: The answer must not be empty.\n") == 2
