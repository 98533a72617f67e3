"""The shell's settings override only those of the local stage."""

import os
from unittest import mock

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import runtime
from infra import OperatorError
from infra.__main__ import main
from infra.aws import live_resources, stage_config
from infra.commands import settings as shell
from infra.commands.settings import load_settings

OTHER_ACCOUNT = "AC" + "0" * 32
RESERVATION = "WR" + "1" * 32
NOTE = (
    "These shell variables are ignored, because the stage has different values for them: {}. "
    "To change the stage, edit .chalice/config.json."
)
COMMANDS = [
    ["token", "--role", "supervisor"],
    ["sweep", "--monitor"],
    ["erase", RESERVATION, "--yes"],
    ["rules", "explain", RESERVATION],
    ["rules", "check"],
]


@pytest.fixture
def stage(new_stage):
    """A configured stage."""
    new_stage.configure()
    with mock.patch.dict(os.environ):
        yield new_stage
    runtime.use(None)


def run(*arguments, **environ):
    return CliRunner().invoke(main, [*arguments, "--stage", "dev"], env=environ)


def test_token_is_for_the_account_in_the_file(stage):
    environ = {
        "TWILIO_ACCOUNT_SID": OTHER_ACCOUNT,
        "MAX_TOKEN_SECONDS": "60",
        "TWILIO_AUTH_TOKEN": "x",
    }

    with mock.patch("infra.commands.token.create_token", return_value="token") as create:
        result = run("token", "--role", "supervisor", **environ)

    assert result.exit_code == 0, result.output
    (settings, key), _ = create.call_args
    assert settings.twilio_account_sid == stage.twilio.account_sid
    assert settings.max_token_seconds == 86_400
    assert key.secret == stage.twilio.api_key_secret
    assert result.stdout == "token\n"
    assert result.stderr.startswith(NOTE.format("TWILIO_ACCOUNT_SID, MAX_TOKEN_SECONDS"))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_commands_that_use_settings_of_a_stage_report_unused_shell_variables(stage, command):
    result = run(*command, TWILIO_WORKSPACE_SID="WS" + "0" * 32)

    assert NOTE.format("TWILIO_WORKSPACE_SID") in result.stderr
    assert "WS" + "0" * 32 not in result.stdout


def test_equal_and_empty_settings_in_the_shell_are_not_reported(stage):
    environ = stage.environ | {"PUBLIC_BASE_URL": " "}

    assert (
        "because the stage has different values"
        not in run("token", "--role", "supervisor", **environ).output
    )


@pytest.mark.parametrize("command", COMMANDS[:-1], ids=" ".join)
def test_sid_that_only_the_shell_sets_is_reported_as_missing(stage, command):
    stage.set(TWILIO_WORKFLOW_SID="")

    result = run(*command, **stage.environ)

    assert result.exit_code == 1
    assert result.output == (
        "Error: Stage dev in .chalice/config.json does not set TWILIO_WORKFLOW_SID. Run this "
        "command, which asks for the values and deploys the stage: python -m infra deploy --stage "
        "dev\n"
    )


@pytest.mark.parametrize("missing", [["TWILIO_WORKFLOW_SID"], [*stage_config.SID_PREFIXES]])
@pytest.mark.parametrize("command", COMMANDS[:-1], ids=" ".join)
def test_missing_sid_of_a_deployed_stage_must_be_set_in_the_file(
    stage, monkeypatch, command, missing
):
    stage.set(**dict.fromkeys(missing, ""))
    monkeypatch.setattr(live_resources, "has_function", lambda _aws, stage: stage.name == "dev")

    result = run(*command)

    names = ", ".join(missing)
    assert result.exit_code == 1
    assert result.output == (
        f"Error: Stage dev in .chalice/config.json does not set {names}. The stage is deployed in "
        f"account 123456789012, eu-west-1. Set {names} under environment_variables of the stage to "
        "the deployed values.\n"
    )


@pytest.mark.parametrize(
    "failure",
    [
        OperatorError("No AWS credentials were found."),
        EndpointConnectionError(endpoint_url="https://sts.eu-west-1.amazonaws.com"),
        ClientError({"Error": {"Code": "AccessDenied"}}, "GetFunctionConfiguration"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_missing_sid_is_reported_even_if_aws_cannot_be_queried(stage, monkeypatch, failure):
    def fail(*_):
        raise failure

    stage.set(TWILIO_WORKSPACE_SID="")
    monkeypatch.setattr(live_resources, "has_function", fail)

    result = run("token", "--role", "supervisor")

    assert "does not set TWILIO_WORKSPACE_SID. Run this command, which asks for" in result.output


def test_loaded_settings_and_the_environment_match_the_file(stage, monkeypatch):
    for name, value in {
        "RESERVATIONS_TABLE": "other",
        "REJECT_AFTER_SECONDS": "5",
        "ASSIGNMENT_INSTRUCTION": "accept",
        "SETTINGS_DEFAULTS": "local/settings.env",
        "AWS_PROFILE": "kept",
    }.items():
        monkeypatch.setenv(name, value)

    settings = load_settings("dev", SWEEP_MONITOR_ONLY="true")

    assert settings.reservations_table == "taskrouter-callbacks-dev-reservations"
    assert (settings.reject_after_seconds, settings.sweep_monitor_only) == (None, True)
    assert settings.assignment_instruction == "defer"
    assert os.environ["RESERVATIONS_TABLE"] == settings.reservations_table
    assert os.environ["SWEEP_MONITOR_ONLY"] == "true"
    assert os.environ["AWS_PROFILE"] == "kept"
    assert not {"REJECT_AFTER_SECONDS", "SETTINGS_DEFAULTS"} & os.environ.keys()


def test_rules_file_variable_in_the_shell_is_not_used_for_a_deployed_stage(stage, tmp_path):
    file = tmp_path / "other.toml"
    file.write_text("")

    checked = run("rules", "check", RULES_FILE=str(file))

    assert checked.exit_code == 0, checked.output
    assert "chalicelib/rules.toml: " in checked.stdout


@given(st.sampled_from(sorted(shell._SETTINGS)), st.text(min_size=1))
def test_shell_settings_are_ignored_for_a_deployed_stage(name, value):
    declared = stage_config.environment("dev", {})

    assert shell.operator_environment("dev", {name: value, "TZ": "UTC"}) == {
        **declared,
        "TZ": "UTC",
    }


def test_shell_settings_override_local_stage_settings():
    environ = {"RETENTION_DAYS": "7"}

    assert shell.operator_environment("local", environ)["RETENTION_DAYS"] == "7"
    assert shell.unused_settings("local", environ) == []
