"""From an empty account by a real `chalice deploy` to calls through API Gateway, and back."""

import json
import re

import pytest

from tests.deploy.conftest import STAGE
from tests.deploy.world import Centre, eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SCHEDULE_SECONDS = 90
"""The schedule fires every minute; then the sweep has to do its work."""


def api_url(aws, stage=STAGE):
    """Where the emulator serves the one API, under its stage."""
    (api,) = aws.client("apigateway").get_rest_apis()["items"]
    return f"{aws.url}/restapis/{api['id']}/{stage}/_user_request_"


def deploy(checkout, *options):
    return json.loads(
        checkout.infra("deploy", "--stage", STAGE, "--any-python", "--json", *options)
    )


def token(checkout):
    return checkout.infra("token", "--stage", STAGE, "--role", "supervisor").strip()


def put_secrets(checkout, secrets):
    said = checkout.infra("secrets", "put", "--stage", STAGE, "--stdin", says=secrets)
    assert not any(secret in said for secret in re.findall(r"[0-9a-f]{32}", secrets))


def api_stage(aws):
    (api,) = aws.client("apigateway").get_rest_apis()["items"]
    return aws.client("apigateway").get_stage(restApiId=api["id"], stageName=STAGE)


def test_from_an_empty_account_to_calls_and_back(aws, checkout, twilio, secrets):
    assert aws.everything() == {}
    put_secrets(checkout, secrets)
    # The emulator serves another address than the one that AWS would, so that is told by now only.
    deploy(checkout, "--no-check")
    url = api_url(aws)
    checkout.set(PUBLIC_BASE_URL=url, RESERVATION_TIMEOUT_SECONDS="5", SWEEP_GRACE_SECONDS="0")
    assert deploy(checkout)["assignment_callback"] == f"{url}/assignment_callback"

    # The life cycle, called back under the stage's prefix, signed.
    centre = Centre.at(url, token(checkout), twilio)
    centre.walk()

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
    assert retries["MaximumRetryAttempts"] == 0

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
    package = checkout.folder / "chalicelib" / "__init__.py"
    package.write_text(re.sub(r'__version__ = ".*"', '__version__ = "9.9.9"', package.read_text()))
    assert deploy(checkout)["url"] == url
    assert centre.app.get("/health").body["version"] == "9.9.9"
    assert centre.app.get(path).body["status"] == "timeout"

    # Without --data, the data stays; with it, nothing does.
    checkout.infra("destroy", "--stage", STAGE, "--yes")
    left = aws.everything()
    assert left == {
        "tables": [f"taskrouter-callbacks-{STAGE}-{name}" for name in ("reservations", "state")],
        "parameters": [f"/taskrouter-callbacks/{STAGE}/secrets"],
    }
    checkout.infra("destroy", "--stage", STAGE, "--data", "--yes")
    assert aws.everything() == {}
