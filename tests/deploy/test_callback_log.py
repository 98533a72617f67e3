"""A supervisor finds a refused callback in the log of a deployed stage."""

import time
from urllib.parse import urlsplit

import pytest
import requests

from tests.deploy.conftest import STAGE
from tests.deploy.test_deploy import api_url, callback_parameters, deploy, put_secrets, token

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_refused_callback_is_found_in_the_log_of_the_function(aws, checkout, twilio, secrets):
    put_secrets(checkout, secrets)
    deploy(checkout, "--no-check")
    url = api_url(aws)
    refused = requests.post(
        f"{url}/assignment_callback",
        data=callback_parameters(twilio),
        headers={"X-Twilio-Signature": "x" * 28},
        timeout=30,
    )
    assert refused.status_code == 403
    headers = {"Authorization": f"Bearer {token(checkout)}"}
    until = time.monotonic() + 30
    callbacks = []
    while not callbacks and time.monotonic() < until:
        response = requests.get(f"{url}/callbacks?status=403", headers=headers, timeout=30)
        assert response.status_code in (200, 429), response.text
        callbacks = response.json().get("callbacks", [])
        time.sleep(0.2)

    host = urlsplit(url).netloc
    checked = f"https://{host}/{STAGE}/assignment_callback"
    assert [each["checked_url"] for each in callbacks] == [checked]
    assert callbacks[0]["likely_cause"] == "auth_token"
