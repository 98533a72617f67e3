"""From an empty account by a real `chalice deploy` to calls through API Gateway, and back."""

import json
import re

import pytest
import requests
from twilio.request_validator import RequestValidator

from local.supervisor import ROOT
from tests.deploy import front
from tests.deploy.conftest import REGION, STAGE
from tests.deploy.world import Centre, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCHEDULE_SECONDS = 90
"""The schedule fires every minute; then the sweep has to do its work."""


DOCUMENT = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def shapes(text):
    """Lines without what differs each time: account, region, API, seconds, Python."""
    for pattern in (r"\d{12}", r"eu-west-\d", r"(?<=https://)\w+", r"\d+(?= s\b)", r"python[\d.]+"):
        text = re.sub(pattern, "*", text)
    return set(text.splitlines())


def api_url(aws, stage=STAGE):
    """Where the emulator serves the one API, under its stage."""
    (api,) = aws.client("apigateway").get_rest_apis()["items"]
    return f"{aws.url}/restapis/{api['id']}/{stage}/_user_request_"


def deploy(checkout, *options, **environ):
    options = ["--stage", STAGE, "--any-python", "--json", *options]
    return json.loads(checkout.infra("deploy", *options, **environ))


def post_signed(url, twilio, environ):
    parameters = {
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
    signature = RequestValidator(twilio.auth_token).compute_signature(url, parameters)
    answer = requests.post(
        url,
        data=parameters,
        headers={"X-Twilio-Signature": signature},
        proxies={"https": environ["HTTPS_PROXY"]},
        verify=environ["REQUESTS_CA_BUNDLE"],
        timeout=30,
    )
    return answer.status_code, answer.json()


def token(checkout):
    return checkout.infra("token", "--stage", STAGE, "--role", "supervisor").strip()


def put_secrets(checkout, secrets):
    said = checkout.infra("secrets", "put", "--stage", STAGE, "--stdin", says=secrets)
    assert not any(secret in said for secret in re.findall(r"[0-9a-f]{32}", secrets))


def api_stage(aws):
    (api,) = aws.client("apigateway").get_rest_apis()["items"]
    return aws.client("apigateway").get_stage(restApiId=api["id"], stageName=STAGE)


def test_from_an_empty_account_to_calls_and_back(aws, checkout, twilio, secrets, tmp_path):
    assert aws.everything() == {}
    put_secrets(checkout, secrets)
    # The address is AWS's own, and so is what the signature is checked against.
    with front.serving(aws.url, REGION, tmp_path) as environ:
        done = checkout.run("deploy", "--stage", STAGE, "--any-python", **environ)
        assert done.returncode == 0, done.stderr
        (api_id,) = [one["id"] for one in aws.client("apigateway").get_rest_apis()["items"]]
        callback = done.stdout.strip()
        host = f"{api_id}.execute-api.{REGION}.amazonaws.com"
        assert callback == f"https://{host}/{STAGE}/assignment_callback"
        assert post_signed(callback, twilio, environ) == (200, {})
    assert shapes(done.stderr + done.stdout) <= shapes(DOCUMENT)
    # From now on one that the simulator reaches without a proxy.
    url = api_url(aws)
    checkout.set(PUBLIC_BASE_URL=url, RESERVATION_TIMEOUT_SECONDS="5", SWEEP_GRACE_SECONDS="0")
    assert deploy(checkout)["assignment_callback"] == f"{url}/assignment_callback"

    # The life cycle, called back under the stage's prefix, signed.
    centre = Centre.at(url, token(checkout), twilio)
    centre.walk()

    # What API Gateway answers itself has the shape of our own answers.
    absent = centre.app.get("/no-such-route")
    assert (absent.status, absent.body["Code"]) == (404, "RouteNotFound")

    # What Chalice can't set.
    assert api_stage(aws)["tracingEnabled"] is True
    methods = api_stage(aws)["methodSettings"]
    assert methods["*/*"]["metricsEnabled"]
    callbacks = methods["/assignment_callback/POST"]
    assert callbacks["throttlingRateLimit"] > methods["*/*"]["throttlingRateLimit"]
    assert callbacks["metricsEnabled"]
    retries = aws.client("lambda").get_function_event_invoke_config(
        FunctionName=f"taskrouter-callbacks-{STAGE}-sweep"
    )
    assert (retries["MaximumRetryAttempts"], retries["MaximumEventAgeInSeconds"]) == (0, 60)

    # The schedule fires: a Reservation that nobody decides is found out without any event.
    centre.configure(TaskReservationTimeout="5")
    record = centre.reserved()
    path = f"/reservations/{record['reservation_sid']}"
    assert eventually(lambda: centre.app.get(path).body["status"] == "timeout", SCHEDULE_SECONDS), (
        aws.log()
    )
    status = json.loads(checkout.infra("status", "--stage", STAGE, "--json"))
    assert status["last_sweep"]["ok"] is True
    assert status["ok"] is True
    assert f'"reservation_sid": "{record["reservation_sid"]}"' in checkout.infra(
        "logs", "--stage", STAGE
    )

    # Another version, from a checkout that has never deployed: the same URL serves it.
    (checkout.folder / ".chalice" / "deployed" / f"{STAGE}.json").unlink()
    checkout.become_version("9.9.9")
    assert deploy(checkout)["url"] == url
    assert centre.app.get("/health").body["version"] == "9.9.9"
    assert centre.app.get(path).body["status"] == "timeout"

    # Without --data, the data stays; with it, nothing does.
    checkout.infra("destroy", "--stage", STAGE, "--yes")
    left = aws.everything()
    assert left == {
        "tables": [f"taskrouter-callbacks-{STAGE}-{name}" for name in ("reservations", "state")],
        "stacks": [f"taskrouter-callbacks-{STAGE}"],
        "parameters": [f"/taskrouter-callbacks/{STAGE}/secrets"],
    }
    checkout.infra("destroy", "--stage", STAGE, "--data", "--yes")
    assert aws.everything() == {}
