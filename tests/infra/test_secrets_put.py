"""The `secrets put` command verifies the secrets with Twilio before it stores them."""

import json

import boto3
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.setting_types import checked_secret
from infra import OperatorError
from infra.__main__ import main
from infra.commands import secrets as command
from tests.infra.account import secrets_of
from tests.infra.new_stage import PARAMETER

OTHER_KEY = "SK" + "e" * 32
UNSENDABLE = ["“token”", "токен", "\ud800", "tok\x00en", "a\nb", "café", "\u00a0token"]


@pytest.fixture
def stage(new_stage):
    """A configured stage without secrets."""
    new_stage.configure()
    boto3.client("ssm").delete_parameter(Name=PARAMETER)
    return new_stage


def put(*options, stdin):
    arguments = ["secrets", "put", "--stage", "dev", *options]
    return CliRunner().invoke(main, arguments, input=stdin)


def put_json(value, *options):
    return put("--stdin", *options, stdin=json.dumps(value))


def test_prompt_is_repeated_after_a_malformed_key_sid(stage):
    value = secrets_of(stage.twilio)
    ((key, secret),) = value["api_keys"].items()
    answers = [*value["auth_tokens"], "", key[:-1], OTHER_KEY[2:], key, secret, "SK", "", ""]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "is_terminal", lambda: True)
        result = put(stdin="".join(f"{answer}\n" for answer in answers))

    assert result.exit_code == 0, result.output
    assert result.output.count("A SID must be SK followed by 32 lowercase hexadecimal digits.") == 3
    assert stage.secrets == value


@pytest.mark.parametrize("client_secret", ["", "s3cret"])
def test_command_prompts_for_the_client_secret_if_there_is_an_identity_provider(
    stage, client_secret
):
    stage.set(OIDC_ISSUER="https://login.example.com", OIDC_CLIENT_ID="console")
    value = secrets_of(stage.twilio)
    ((key, secret),) = value["api_keys"].items()
    answers = [*value["auth_tokens"], "", key, secret, "", "", client_secret]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "is_terminal", lambda: True)
        result = put(stdin="".join(f"{answer}\n" for answer in answers))

    assert result.exit_code == 0, result.output
    assert "s3cret" not in result.output
    expected = {"oidc_client_secret": client_secret} if client_secret else {}
    assert stage.secrets == value | expected


def test_accepted_secrets_are_stored(stage):
    value = secrets_of(stage.twilio)

    result = put_json(value)

    assert result.exit_code == 0, result.output
    assert stage.secrets == value
    assert "Warning" not in result.output


WRONG = {
    "token": ({"auth_tokens": ["wrong"]}, "Twilio refused the auth token for account AC"),
    "tokens": ({"auth_tokens": ["wrong", "old"]}, "Twilio refused the auth token for account AC"),
    "key": ({"api_keys": {OTHER_KEY: "wrong"}}, f"Twilio refused the API key {OTHER_KEY}"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_refused_secrets_are_stored_only_without_verification(stage, changes, message):
    value = secrets_of(stage.twilio) | changes

    refused = put_json(value)

    assert refused.exit_code == 1
    error = refused.output.splitlines()[-1]
    assert error.startswith(f"Error: The secrets were not stored. {message}")
    assert error.endswith(" To store unverified secrets, add the option --no-verify")
    assert "wrong" not in refused.output
    assert stage.secrets is None

    assert put_json(value, "--no-verify").exit_code == 0
    assert stage.secrets == value


@pytest.mark.parametrize("name", ["TWILIO_WORKSPACE_SID", "TWILIO_WORKFLOW_SID"])
def test_secrets_are_refused_if_a_resource_of_the_stage_does_not_exist(stage, name):
    sid = stage.variables[name][:2] + "0" * 32
    stage.set(**{name: sid})

    result = put_json(secrets_of(stage.twilio))

    assert result.exit_code == 1
    assert f"{sid}. Correct {name}" in result.output
    assert stage.secrets is None


def test_error_for_unreachable_twilio_mentions_the_option_that_stores_unverified_secrets(stage):
    stage.set(TWILIO_TASKROUTER_URL="http://127.0.0.1:1")
    value = secrets_of(stage.twilio)

    assert put_json(value).output.endswith("add the option --no-verify\n")
    assert put_json(value, "--no-verify").exit_code == 0


@pytest.mark.parametrize("position", [0, 1])
def test_one_accepted_token_and_the_first_key_are_enough_during_a_rotation(stage, position):
    value = secrets_of(stage.twilio)
    value["auth_tokens"].insert(position, "next")
    value["api_keys"][OTHER_KEY] = "revoked"
    value["shared_keys"] = {"id": "shared"}

    result = put_json(value)

    assert result.exit_code == 0, result.output
    assert f"Warning: an API key can't be verified. Twilio refused the API key {OTHER_KEY}" in (
        result.output
    )
    assert stage.secrets == value


@pytest.mark.parametrize("empty", [["TWILIO_WORKFLOW_SID"], [*command.stage_config.SID_PREFIXES]])
def test_secrets_of_a_stage_without_sids_are_stored_unverified(stage, empty):
    stage.set(**dict.fromkeys(empty, ""))
    value = secrets_of(stage.twilio)

    result = put_json(value)

    assert result.exit_code == 0, result.output
    assert f".chalice/config.json does not set {', '.join(empty)}. The deployment" in result.output
    assert stage.secrets == value


@pytest.mark.parametrize("secret", UNSENDABLE)
@pytest.mark.parametrize("name", ["auth_tokens", "api_keys", "shared_keys", "oidc_client_secret"])
@pytest.mark.parametrize("options", [[], ["--no-verify"]], ids=" ".join)
def test_secret_that_is_not_printable_ascii_is_refused(stage, name, secret, options):
    container = {"auth_tokens": [secret], "oidc_client_secret": secret}.get(
        name, {OTHER_KEY: secret}
    )

    result = put_json(secrets_of(stage.twilio) | {name: container}, *options)

    assert result.exit_code == 1
    if secret == "\ud800":
        assert "must be a JSON object with auth_tokens" in result.output
    else:
        expected = f"Error: The entered secrets: each secret in {name} must consist of printable"
        assert expected in result.output
    assert secret not in result.output
    assert stage.secrets is None


@given(st.text(min_size=1).filter(lambda text: not (text.isascii() and text.isprintable())))
@settings(suppress_health_check=[HealthCheck.filter_too_much])
def test_text_that_is_not_printable_ascii_is_rejected_as_a_secret(text):
    with pytest.raises(ValueError, match="must consist of printable ASCII characters") as error:
        checked_secret(text)
    assert text not in str(error.value) or len(text) == 1


@pytest.mark.parametrize("stored", ["“token”", "токен"])
def test_stored_secret_that_cannot_be_sent_is_reported_but_not_shown(stage, stored):
    stage.store_secrets(api_keys={OTHER_KEY: stored})

    for arguments in (["deploy"], ["prepare"], ["token", "--role", "supervisor"]):
        result = CliRunner().invoke(main, [*arguments, "--stage", "dev"])
        assert result.exit_code == 1
        assert "each secret in api_keys must consist of printable ASCII" in result.output
        assert stored not in result.output


def test_prompt_is_repeated_after_a_secret_that_cannot_be_sent(stage, monkeypatch):
    monkeypatch.setattr(command, "is_terminal", lambda: True)
    twilio = stage.twilio
    token, key, secret = twilio.auth_token, twilio.api_key_sid, twilio.api_key_secret
    answers = ["“token”", token, "", key, "секрет", secret, "", ""]

    result = put(stdin="".join(f"{answer}\n" for answer in answers))

    assert result.exit_code == 0, result.output
    assert result.output.count("Error: The secret must consist of printable ASCII") == 2
    assert stage.secrets == secrets_of(twilio)


def test_error_for_malformed_secrets_names_their_source():
    with pytest.raises(
        OperatorError, match="^X: The secrets must be a JSON object with auth_tokens"
    ):
        command.parse("{}", "X")
