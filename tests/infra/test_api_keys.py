"""The API key that the `token` command uses to sign tokens."""

import json

import boto3
import pytest
from moto import mock_aws

from chalicelib import config
from infra import OperatorError
from infra.aws import stage_config
from infra.commands import token

FIRST, SECOND = "SK" + "1" * 32, "SK" + "2" * 32


@pytest.fixture
def ssm(monkeypatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        yield boto3.client("ssm")


def settings(**overrides):
    return config.load(stage_config.environment("local", overrides))


def test_key_is_read_from_the_settings():
    key = token.read_api_key(settings(TWILIO_API_KEY_SID=FIRST, TWILIO_API_KEY_SECRET="key-secret"))

    assert key == token.ApiKey(FIRST, "key-secret")
    assert "key-secret" not in repr(key)


def test_first_key_in_the_ssm_parameter_is_used(ssm):
    value = {"auth_tokens": ["t"], "api_keys": {FIRST: "one", SECOND: "two"}}
    ssm.put_parameter(Name="/twilio", Value=json.dumps(value), Type="SecureString")

    key = token.read_api_key(settings(SECRETS_PARAMETER="/twilio"))

    assert key == token.ApiKey(FIRST, "one")


@pytest.mark.parametrize("value", [None, "{}", '{"auth_tokens": ["t"], "api_keys": {}}'])
def test_error_names_the_missing_or_malformed_parameter(ssm, value):
    if value:
        ssm.put_parameter(Name="/twilio", Value=value, Type="SecureString")

    with pytest.raises(OperatorError, match="The parameter /twilio can't be read"):
        token.read_api_key(settings(SECRETS_PARAMETER="/twilio"))
