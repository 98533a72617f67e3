"""Requests to AWS have the same signatures as requests that botocore signs."""

import datetime as dt
from typing import Any

import pytest
from botocore import auth
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.adapters import aws
from chalicelib.adapters.aws import JsonApi

visible = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1)
hosts = st.sampled_from(
    [
        "https://dynamodb.us-east-1.amazonaws.com",
        "https://dynamodb.us-east-1.amazonaws.com:443",
        "https://DynamoDB.example.com:8443",
        "http://127.0.0.1:8001",
        "http://localhost:80",
        "http://localhost:443",
        "http://[::1]:8001",
    ]
)
paths = st.sampled_from(["", "/", "/prefix", "/prefix/", "/a%20b", "/~tilde"])


START, END = dt.datetime.fromtimestamp(1.5e9), dt.datetime.fromtimestamp(2.5e9)  # noqa: DTZ006  hypothesis requires naive limits


class FixedTime(dt.datetime):
    """A clock that always returns `at`."""

    at = dt.datetime(2026, 11, 21, tzinfo=dt.UTC)

    @classmethod
    def now(cls, _tz: object = None) -> dt.datetime:
        return cls.at


@given(
    url=st.builds(str.__add__, hosts, paths),
    key=visible,
    secret=st.text(min_size=1).filter(lambda text: text.isprintable()),
    token=st.none() | visible,
    region=st.from_regex("[a-z0-9-]{1,20}", fullmatch=True),
    service=st.sampled_from(["dynamodb", "ssm"]),
    body=st.binary(),
    at=st.datetimes(START, END),
)
def test_signature_matches_botocore(
    *,
    url: str,
    key: str,
    secret: str,
    token: str | None,
    region: str,
    service: str,
    body: bytes,
    at: dt.datetime,
) -> None:
    credentials: Any = aws._Credentials(key, secret, token)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(aws, "find_endpoint", lambda _service: (url, region))
        patch.setattr(JsonApi, "_credentials", lambda _api: credentials)
        patch.setattr(FixedTime, "at", at.replace(tzinfo=dt.UTC))
        patch.setattr(aws, "datetime", FixedTime)
        patch.setattr(auth, "get_current_datetime", lambda: at)
        api = JsonApi(service, target="Target_1", version="1.0", seconds=1.0, attempts=1)
        signed = api._sign("Operation", body)
        names = ("content-type", "host", "x-amz-target")
        headers = {name: signed.headers[name] for name in names}
        expected = AWSRequest("POST", signed.url, headers, body)
        SigV4Auth(credentials, service, region).add_auth(expected)

    assert signed.headers["authorization"] == expected.headers["Authorization"]
    assert signed.headers["x-amz-date"] == expected.headers["X-Amz-Date"]
    assert signed.headers.get("x-amz-security-token") == expected.headers["X-Amz-Security-Token"]


@given(url=st.builds(str.__add__, hosts, paths))
def test_signed_host_matches_botocore(url: str) -> None:
    assert aws._signed_parts(url)[0] == auth._host_from_url(url)
