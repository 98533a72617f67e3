"""Once callback paths require a secret segment, API Gateway rejects all other callback paths."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from twilio.request_validator import RequestValidator

from tests.deploy.conftest import STAGE, subscribe_to_alarms
from tests.deploy.contact_center import set_callback_urls
from tests.deploy.test_deploy import api_url, callback_parameters, put_secrets

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SECRET = "first-secret_0123456"
PATH = "/assignment_callback"
FLOOD = 200


def deploy(checkout, *options, **settings):
    checkout.set(**settings)
    completed = checkout.run("deploy", "--stage", STAGE, *options)
    assert completed.returncode == 0, completed.stderr
    assert SECRET not in completed.stdout + completed.stderr
    return completed.stdout.strip()


def post_signed(url, twilio):
    parameters = callback_parameters(twilio)
    signature = RequestValidator(twilio.auth_token).compute_signature(url, parameters)
    headers = {"X-Twilio-Signature": signature}
    response = requests.post(url, data=parameters, headers=headers, timeout=30)
    return response.status_code, response.json().get("Code")


def post_unsigned(url):
    return requests.post(url, data={"a": "b"}, timeout=30).json().get("Code")


def count_requests(aws):
    """Return the number of requests that the function has logged."""
    events = aws.client("logs").filter_log_events(
        logGroupName=f"/aws/lambda/taskrouter-callbacks-{STAGE}"
    )["events"]
    assert SECRET not in json.dumps(events)
    return sum('"event": "request"' in event["message"] for event in events)


def test_flood_of_requests_to_other_paths_does_not_invoke_the_function(
    aws, checkout, twilio, secrets
):
    put_secrets(checkout, secrets)
    deploy(checkout, "--no-check")
    url = api_url(aws)
    secret_url = f"{url}/{SECRET}"
    deploy(checkout, PUBLIC_BASE_URL=url, CALLBACK_PATH_SECRETS=f"{SECRET},open")
    assert post_signed(url + PATH, twilio) == (200, None)
    assert post_signed(secret_url + PATH, twilio) == (200, None)

    printed = deploy(checkout, CALLBACK_PATH_SECRETS=SECRET)

    assert printed == f"{url}/***{PATH}"
    before = count_requests(aws)
    with ThreadPoolExecutor(8) as pool:
        flooded = [url + PATH, f"{url}/another-secret_012345{PATH}"] * (FLOOD // 2)
        assert set(pool.map(post_unsigned, flooded)) == {"RouteNotFound"}
        assert post_signed(secret_url + PATH, twilio) == (200, None)
    assert count_requests(aws) == before + 1
    subscribe_to_alarms(aws)
    set_callback_urls(twilio, secret_url)
    assert SECRET not in checkout.infra("status", "--stage", STAGE, "--json")
    methods = aws.client("apigateway").get_stages(
        restApiId=aws.client("apigateway").get_rest_apis()["items"][0]["id"]
    )["item"][0]["methodSettings"]
    assert methods[f"/{SECRET}{PATH}/POST"]["throttlingRateLimit"] == 1_000
