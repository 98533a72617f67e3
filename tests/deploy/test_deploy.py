"""A stage is deployed to an empty emulated account, used, updated and removed."""

import json
import re

import pytest
import requests
from twilio.request_validator import RequestValidator

from tests.deploy import https_proxy
from tests.deploy.conftest import ACCOUNT, REGION, STAGE, subscribe_to_alarms
from tests.deploy.contact_center import ContactCenter, eventually, set_callback_urls
from tests.infra.account import sids_of
from tests.infra.config_file import edit_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCHEDULE_SECONDS = 90
"""Maximum time to wait for the next scheduled sweep. Sweeps start every minute."""


def api_url(aws, stage=STAGE):
    """Return the URL at which the emulator serves the stage of the only API."""
    (api,) = aws.client("apigateway").get_rest_apis()["items"]
    return f"{aws.url}/restapis/{api['id']}/{stage}/_user_request_"


def deploy(checkout, *options, **environ):
    options = ["--stage", STAGE, "--json", *options]
    return json.loads(checkout.infra("deploy", *options, **environ))


def callback_parameters(twilio):
    return {
        "AccountSid": twilio.account_sid,
        "WorkspaceSid": twilio.workspace_sid,
        "WorkflowSid": twilio.workflow_sid,
        "TaskQueueSid": "WQ" + "1" * 32,
        "TaskSid": "WT" + "1" * 32,
        "TaskAttributes": "{}",
        "WorkerSid": "WK" + "1" * 32,
        "WorkerAttributes": "{}",
        "ReservationSid": "WR" + "1" * 32,
    }


def post_signed(url, twilio, environ, parameters=None):
    parameters = parameters or callback_parameters(twilio)
    signature = RequestValidator(twilio.auth_token).compute_signature(url, parameters)
    response = requests.post(
        url,
        data=parameters,
        headers={"X-Twilio-Signature": signature},
        proxies={"https": environ["HTTPS_PROXY"]},
        verify=environ["REQUESTS_CA_BUNDLE"],
        timeout=30,
    )
    return response.status_code, response.json()


def token(checkout, *role):
    return checkout.infra("token", "--stage", STAGE, "--role", *(role or ("supervisor",))).strip()


def put_secrets(checkout, secrets):
    printed = checkout.infra("secrets", "put", "--stage", STAGE, "--stdin", stdin=secrets)
    assert not any(secret in printed for secret in re.findall(r"[0-9a-f]{32}", secrets))


def api_stage(aws):
    (api,) = aws.client("apigateway").get_rest_apis()["items"]
    return aws.client("apigateway").get_stage(restApiId=api["id"], stageName=STAGE)


def test_stage_is_created_used_updated_and_removed(aws, checkout, twilio, secrets, tmp_path):
    assert aws.list_resources() == {}
    put_secrets(checkout, secrets)
    # The callback URL has an AWS host name, and the app verifies signatures against this URL.
    with https_proxy.serving(aws.url, REGION, tmp_path) as environ:
        completed = checkout.run("deploy", "--stage", STAGE, **environ)
        assert completed.returncode == 0, completed.stderr
        (api_id,) = [api["id"] for api in aws.client("apigateway").get_rest_apis()["items"]]
        callback = completed.stdout.strip()
        host = f"{api_id}.execute-api.{REGION}.amazonaws.com"
        assert callback == f"https://{host}/{STAGE}/assignment_callback"
        assert post_signed(callback, twilio, environ) == (200, {})
    # From here on, use a URL that the simulator can reach without a proxy.
    url = api_url(aws)
    checkout.set(PUBLIC_BASE_URL=url, SWEEP_GRACE_SECONDS="0")
    center = ContactCenter.connect(url, token(checkout), twilio)
    center.update_workflow(TaskReservationTimeout="5")
    assert deploy(checkout)["assignment_callback"] == f"{url}/assignment_callback"

    # A Task can be reserved, accepted and completed. The signed callbacks go to a URL that includes
    # the stage.
    center.update_workflow(TaskReservationTimeout="600")
    center.complete_life_cycle()

    # Gateway responses have the shape of the app's errors.
    response = center.app.get("/no-such-route")
    assert (response.status, response.body["Code"]) == (404, "RouteNotFound")

    # Settings that Chalice can't configure are applied.
    assert api_stage(aws)["tracingEnabled"] is True
    methods = api_stage(aws)["methodSettings"]
    assert not methods["*/*"]["metricsEnabled"]
    callbacks = methods["/assignment_callback/POST"]
    assert callbacks["throttlingRateLimit"] > methods["*/*"]["throttlingRateLimit"]
    assert callbacks["metricsEnabled"]
    retries = aws.client("lambda").get_function_event_invoke_config(
        FunctionName=f"taskrouter-callbacks-{STAGE}-sweep"
    )
    assert (retries["MaximumRetryAttempts"], retries["MaximumEventAgeInSeconds"]) == (0, 60)

    # The scheduled sweep records a Reservation's timeout without an event callback.
    center.update_workflow(TaskReservationTimeout="5")
    record = center.reserve()
    path = f"/reservations/{record['reservation_sid']}"
    assert eventually(lambda: center.app.get(path).body["status"] == "timeout", SCHEDULE_SECONDS), (
        aws.log()
    )
    assert checkout.run("status", "--stage", STAGE).returncode == 1  # the alarms have no subscriber
    subscribe_to_alarms(aws)
    set_callback_urls(twilio, url)
    status = json.loads(checkout.infra("status", "--stage", STAGE, "--json"))
    assert status["last_sweep"]["ok"] is True
    assert (status["alarm_subscribers"], status["ok"]) == (1, True)
    assert f'"reservation_sid": "{record["reservation_sid"]}"' in checkout.infra(
        "logs", "--stage", STAGE
    )

    # The URL stays the same if a checkout without Chalice's record deploys a different version.
    (checkout.folder / ".chalice" / "deployed" / f"{STAGE}.json").unlink()
    checkout.change_version("9.9.9")
    assert deploy(checkout)["url"] == url
    assert center.app.get("/health").body["version"] == "9.9.9"
    assert center.app.get(path).body["status"] == "timeout"

    # A removal needs no SIDs. Without --data, the tables, their stack and the secrets remain. With
    # --data, nothing remains.
    checkout.set(**dict.fromkeys(sids_of(twilio), ""))
    checkout.infra("destroy", "--stage", STAGE, "--yes")
    remaining = aws.list_resources()
    assert remaining == {
        "tables": [f"taskrouter-callbacks-{STAGE}-{name}" for name in ("reservations", "state")],
        "stacks": [f"taskrouter-callbacks-{STAGE}"],
        "parameters": [f"/taskrouter-callbacks/{STAGE}/secrets"],
    }
    checkout.infra("destroy", "--stage", STAGE, "--data", "--yes")
    assert aws.list_resources() == {}


def test_access_log_is_turned_on_and_off(aws, checkout, secrets):
    def switch(enabled):
        with edit_config(checkout.folder) as config:
            config["stages"][STAGE]["access_logs"] = enabled
        return checkout.run("deploy", "--stage", STAGE, "--no-check")

    put_secrets(checkout, secrets)
    group = f"/aws/apigateway/taskrouter-callbacks-{STAGE}"
    assert "API Gateway has no role for CloudWatch Logs" in switch(enabled=True).stderr
    assert "functions" not in aws.list_resources()
    role = f"arn:aws:iam::{ACCOUNT}:role/logs"
    operation = {"op": "replace", "path": "/cloudwatchRoleArn", "value": role}
    aws.client("apigateway").update_account(patchOperations=[operation])

    assert switch(enabled=True).returncode == 0
    settings = api_stage(aws)["accessLogSettings"]
    assert settings["destinationArn"] == f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{group}"
    assert "$context.identity.sourceIp" in settings["format"]
    assert group in aws.list_resources()["log groups"]

    assert switch(enabled=False).returncode == 0
    assert not api_stage(aws).get("accessLogSettings")
    assert group not in aws.list_resources()["log groups"]
