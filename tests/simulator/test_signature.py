"""Signature headers of callbacks."""

import pytest

from taskrouter_simulator.callbacks.signature import sign, signature_headers
from taskrouter_simulator.identifiers import Credentials
from taskrouter_simulator.settings import Settings


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("http://a:80/b:80", "http://a/b:80"),
        ("http://a/b", "http://a/b"),
        ("http://u:p@a:80/", "http://a/"),
        ("http://[::1]:80/", "http://[::1]/"),
    ],
)
def test_settings_determine_the_key_and_whether_the_port_is_signed(url, signed):
    credentials, parameters = Credentials(), {"b": "2", "a": "1"}
    headers = signature_headers(credentials, Settings(signed_port=False), url, parameters)
    expected = sign(credentials.auth_token, signed, {"a": "1", "b": "2"})
    assert headers == {"X-Twilio-Signature": expected}
    with_port = signature_headers(credentials, Settings(), url, parameters)
    assert with_port == {"X-Twilio-Signature": sign(credentials.auth_token, url, parameters)}
    shared = signature_headers(credentials, Settings(shared_key_signatures=True), url, parameters)
    assert shared == {
        "X-Twilio-Signature": sign(credentials.shared_key, url, parameters, "sha256"),
        "X-Twilio-Webhooks-Signature-Settings": (
            f"key={credentials.shared_key_id},algorithm=HMAC_SHA256"
        ),
    }
