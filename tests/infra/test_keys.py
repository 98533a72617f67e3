import json

import boto3
import pytest
from moto import mock_aws

from chalicelib import config
from infra.aws import stage_config
from infra.commands import token
from infra.errors import OperatorError

FIRST, SECOND = "SK" + "1" * 32, "SK" + "2" * 32


@pytest.fixture
def aws(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        yield boto3.client("ssm")


def settings(**own):
    return config.load(stage_config.environment("local", own))


def test_a_stage_with_its_key_in_the_settings_uses_that():
    key = token.of_stage(settings(TWILIO_API_KEY_SID=FIRST, TWILIO_API_KEY_SECRET="hush"))

    assert key == token.ApiKey(FIRST, "hush")
    assert "hush" not in repr(key)


def test_of_the_keys_in_a_parameter_it_is_the_first(aws):
    value = {"auth_tokens": ["t"], "api_keys": {FIRST: "one", SECOND: "two"}}
    aws.put_parameter(Name="/twilio", Value=json.dumps(value), Type="SecureString")

    assert token.of_stage(settings(SECRETS_PARAMETER="/twilio")) == token.ApiKey(FIRST, "one")


@pytest.mark.parametrize("value", [None, "{}", '{"auth_tokens": ["t"], "api_keys": {}}'])
def test_a_parameter_that_is_missing_or_malformed_is_named(aws, value):
    if value:
        aws.put_parameter(Name="/twilio", Value=value, Type="SecureString")

    with pytest.raises(OperatorError, match="The parameter /twilio can't be read"):
        token.of_stage(settings(SECRETS_PARAMETER="/twilio"))
