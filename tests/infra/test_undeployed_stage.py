"""For an undeployed stage, commands show the next command to run, not botocore's messages."""

import json

import boto3
import pytest
from moto import mock_aws

from infra.aws import live_resources, stacks, stage_config
from infra.aws.stage_config import Stage
from tests.infra.account import secrets_of
from tests.infra.command_line import run_infra
from tests.infra.test_commands import PARAMETER, config  # noqa: F401  # a fixture

RESERVATION = "WR" + "1" * 32
REGION = "eu-west-1"
STATUS = "Run: python -m infra status --stage dev"
COMMANDS = {
    ("status",): "Run: python -m infra deploy --stage dev",
    ("status", "--json"): "Run: python -m infra deploy --stage dev",
    ("logs",): STATUS,
    ("logs", "--sweep", "--follow"): STATUS,
    ("token", "--role", "supervisor"): "Run: python -m infra secrets put --stage dev",
    ("sweep",): STATUS,
    ("sweep", "--monitor"): STATUS,
    ("erase", RESERVATION, "--yes"): STATUS,
    ("rules", "explain", RESERVATION): STATUS,
    ("deploy",): "python -m infra secrets put --stage dev",
    ("prepare",): "python -m infra secrets put --stage dev",
}


@pytest.fixture
def infra(config, dynamodb, tmp_path, monkeypatch):  # noqa: F811
    """A function that runs a command in an empty emulated account, by default for the dev stage."""
    monkeypatch.setattr(stage_config, "CONFIG", config)
    monkeypatch.setattr(Stage, "deployed_file", tmp_path / "dev.json")
    # moto's CloudFormation and API Gateway need packages that are not installed.
    monkeypatch.setattr(live_resources, "find_api_id", lambda *_, **__: None)
    monkeypatch.setattr(stacks, "outputs", lambda *_: {})
    monkeypatch.setattr(stacks, "exists", lambda *_: False)
    # moto intercepts only requests that botocore sends. The app's DynamoDB client does not use
    # botocore to send its requests.
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb.url)
    with mock_aws():
        yield lambda *arguments, stage="dev": run_infra(
            *arguments, "--stage", stage, AWS_DEFAULT_REGION=REGION
        )


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_command_names_the_next_command_on_one_line(infra, command):
    completed = infra(*command)

    assert completed.returncode == 1
    assert completed.stderr.splitlines()[-1].endswith(COMMANDS[command])
    assert len(completed.stderr.splitlines()) == 2
    output = completed.stdout + completed.stderr
    for text in ("An error occurred", "Traceback", "Retry.", "{'"):
        assert text not in output


CONTRADICTIONS = {
    "timeout": {"REJECT_AFTER_SECONDS": "500", "REJECT_ACTIVITY_SID": "WA" + "0" * 32},
    "activity": {"REJECT_AFTER_SECONDS": "10"},
    "lease": {"CLAIM_LEASE_SECONDS": "29"},
}
COMMANDS_TO_RUN_DESPITE_CONTRADICTIONS = [
    command for command in COMMANDS if command[0] not in ("sweep", "prepare")
]


@pytest.mark.parametrize("variables", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
@pytest.mark.parametrize("command", COMMANDS_TO_RUN_DESPITE_CONTRADICTIONS, ids=" ".join)
def test_command_names_the_next_command_despite_contradictory_settings(infra, command, variables):
    stage_config.set_variables("dev", variables)

    assert infra(*command).stderr.splitlines()[-1].endswith(COMMANDS[command])


@pytest.mark.parametrize("variables", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_package_refuses_contradictory_settings(infra, tmp_path, variables):
    stage_config.set_variables("dev", variables)

    completed = infra("package", tmp_path / "out")

    assert completed.returncode == 1
    assert next(iter(variables)) in completed.stderr.splitlines()[-1]


@pytest.mark.parametrize("command", [*COMMANDS, ("destroy", "--yes")], ids=" ".join)
def test_command_for_an_undeclared_stage_names_the_declared_stages(infra, command):
    completed = infra(*command, stage="gone")

    assert completed.returncode == 1
    (line,) = completed.stderr.splitlines()
    expected = "Error: There is no stage 'gone' in config.json. Declared stages: dev, local, prod."
    assert line.startswith(expected)


def test_status_shows_each_missing_part_on_one_line(infra):
    lines = infra("status").stdout.splitlines()

    table = "taskrouter-callbacks-dev-{}"
    shown = dict(line.split(maxsplit=1) for line in lines)
    assert shown == {
        "url": "not deployed",
        "answers": "not checked",
        "callback_urls": "not checked",
        "tables": f"{table.format('reservations')} missing, {table.format('state')} missing",
        "schedule": "missing",
        "last_sweep": "missing",
        "alarms": "stack missing",
        "alarm_topic": "stack missing",
        "alarm_subscribers": "0",
        "ok": "False",
    }


COMMANDS_THAT_NEED_NO_SIDS = [command for command in COMMANDS if command[0] in ("status", "logs")]


@pytest.mark.parametrize("command", COMMANDS_THAT_NEED_NO_SIDS, ids=" ".join)
@pytest.mark.parametrize("missing", [["TWILIO_WORKSPACE_SID"], [*stage_config.SID_PREFIXES]])
def test_command_for_a_stage_without_sids_names_the_next_command(infra, command, missing):
    stage_config.set_variables("dev", dict.fromkeys(missing, ""))

    assert infra(*command).stderr.splitlines()[-1].endswith(COMMANDS[command])


def test_schedule_without_a_function_is_shown_as_missing(infra, monkeypatch):
    client = boto3.client("events", REGION)
    response = {"Error": {"Code": "ResourceNotFoundException", "Message": "No such function."}}

    def refuse(*_args):
        raise client.exceptions.ClientError(response, "ListRuleNamesByTarget")

    monkeypatch.setattr("infra.aws.live_state.schedule_state", refuse)

    assert "schedule           missing\n" in infra("status").stdout


def test_token_command_for_an_undeployed_stage_needs_only_stored_secrets(infra, taskrouter):
    value = json.dumps(secrets_of(taskrouter))
    boto3.client("ssm", REGION).put_parameter(Name=PARAMETER, Value=value, Type="SecureString")

    assert infra("token", "--role", "supervisor").returncode == 0


def test_aws_error_is_shown_with_the_denied_operation(infra, monkeypatch):
    client = boto3.client("logs", REGION)
    response = {"Error": {"Code": "AccessDeniedException", "Message": "User ann may not."}}

    def deny(*_args, **_kwargs):
        raise client.exceptions.ClientError(response, "FilterLogEvents")

    monkeypatch.setattr("infra.commands.logs._lines", deny)

    assert infra("logs").stderr.splitlines()[-1] == (
        "Error: AWS returned AccessDeniedException for FilterLogEvents: User ann may not."
    )
