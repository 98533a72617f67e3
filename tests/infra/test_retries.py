"""Calls to AWS are retried while AWS throttles them."""

import json

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.exceptions import ClientError

from infra.aws import Aws


class Throttled:
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
        return AWSResponse(request.url, status, headers, Raw(json.dumps(body).encode()))


class Raw:
    def __init__(self, body):
        self.body = body

    def stream(self, *_args, **_kwargs):
        yield self.body


@pytest.fixture
def gateway(monkeypatch):
    """An API Gateway client that records the delays between retries without waiting."""
    waited = []
    monkeypatch.setattr("botocore.endpoint.time.sleep", waited.append)
    session = boto3.Session("a", "b", region_name="eu-west-1")
    gateway = Aws(session, "aws", "eu-west-1", "1" * 12, "").client("apigateway")
    gateway.waited = waited
    return gateway


def test_throttled_deployment_of_the_api_is_retried(gateway):
    throttled = Throttled(times=4)
    gateway.meta.events.register("before-send.apigateway.CreateDeployment", throttled)

    assert gateway.create_deployment(restApiId="api", stageName="dev")["id"] == "abc123"
    assert throttled.requests == 5


def test_throttled_deployment_is_retried_for_more_than_ten_seconds(gateway, monkeypatch):
    monkeypatch.setattr("botocore.retries.standard.random.random", lambda: 0.5)
    gateway.meta.events.register("before-send.apigateway.CreateDeployment", Throttled(times=99))

    with pytest.raises(ClientError, match="TooManyRequests"):
        gateway.create_deployment(restApiId="api", stageName="dev")
    # API Gateway allows one deployment every 5 seconds.
    assert sum(gateway.waited) > 2 * 5
