"""Throttled calls to API Gateway are retried at the rate that its quotas allow."""

import json
import time
from types import SimpleNamespace

import boto3
import botocore.session
import pytest
from botocore import handlers
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from infra.aws import Aws, api_quotas


class ThrottlingResponder:
    """Responds like API Gateway, and throttles the first *times* requests."""

    def __init__(self, times):
        self.remaining, self.requests = times, 0

    def __call__(self, request, **_):
        self.requests += 1
        self.remaining -= 1
        status, code, body = 201, "", {"id": "abc123"}
        if self.remaining >= 0:
            status, code, body = 429, "TooManyRequestsException", {"message": "Too Many Requests"}
        headers = {"x-amzn-errortype": code, "Content-Type": "application/json"}
        return AWSResponse(request.url, status, headers, RawResponse(json.dumps(body).encode()))


class RawResponse:
    def __init__(self, body):
        self.body = body

    def stream(self, *_args, **_kwargs):
        yield self.body


@pytest.fixture
def delays(monkeypatch):
    """The delays between retries. The tests do not wait."""
    delays = []
    # Other threads of this process must still sleep.
    replacement = SimpleNamespace(**{**vars(time), "sleep": delays.append})
    monkeypatch.setattr("botocore.endpoint.time", replacement)
    return delays


@pytest.fixture
def gateway(delays):
    session = boto3.Session("a", "b", region_name="eu-west-1")
    return Aws(session, "aws", "eu-west-1", "1" * 12, "").client("apigateway")


@pytest.fixture
def chalice_gateway(delays, monkeypatch):
    """An API Gateway client like the one that Chalice creates when `run_chalice` starts it."""
    monkeypatch.setattr(handlers, "BUILTIN_HANDLERS", [*handlers.BUILTIN_HANDLERS])
    api_quotas.wait_for_quotas_in_all_sessions()
    credentials = {"aws_access_key_id": "a", "aws_secret_access_key": "b"}
    return botocore.session.Session().create_client("apigateway", "eu-west-1", **credentials)


@pytest.fixture(params=["gateway", "chalice_gateway"])
def client(request):
    return request.getfixturevalue(request.param)


CALLS = {
    "CreateDeployment": {"restApiId": "api", "stageName": "dev"},
    "DeleteRestApi": {"restApiId": "api"},
    "ImportRestApi": {"body": b"{}"},
    "PutRestApi": {"restApiId": "api", "body": b"{}"},
}


def call(client, operation):
    return client._make_api_call(operation, CALLS[operation])


@pytest.mark.parametrize(
    ("operation", "seconds"),
    [("CreateDeployment", 5), ("DeleteRestApi", 30), ("ImportRestApi", 3), ("PutRestApi", 1)],
)
def test_throttled_request_is_retried_at_the_rate_of_its_quota(
    client, operation, seconds, delays, capsys
):
    responder = ThrottlingResponder(times=6)
    client.meta.events.register(f"before-send.apigateway.{operation}", responder)

    assert call(client, operation)["ResponseMetadata"]["HTTPStatusCode"] == 201
    assert responder.requests == 7
    assert delays == [seconds] * 6
    message = f"API Gateway accepts one {operation} request every {seconds} s per account."
    assert capsys.readouterr().err.splitlines() == [f"{message} Waiting {seconds} s ..."] * 6


def test_request_that_stays_throttled_fails(client, delays):
    client.meta.events.register(
        "before-send.apigateway.DeleteRestApi", ThrottlingResponder(times=99)
    )

    with pytest.raises(ClientError, match="TooManyRequests"):
        call(client, "DeleteRestApi")
    assert delays == [30] * 10


def test_other_errors_and_operations_are_left_to_boto3(gateway, delays, capsys):
    gateway.meta.events.register("before-send.apigateway.GetRestApi", ThrottlingResponder(times=2))
    gateway.meta.events.register("before-send.apigateway.CreateDeployment", fail)

    gateway.get_rest_api(restApiId="api")
    with pytest.raises(ClientError, match="NotFoundException"):
        call(gateway, "CreateDeployment")

    assert len(delays) == 2
    assert capsys.readouterr().err == ""


def fail(request, **_):
    headers = {"x-amzn-errortype": "NotFoundException", "Content-Type": "application/json"}
    return AWSResponse(request.url, 404, headers, RawResponse(b'{"message": "Invalid API"}'))
