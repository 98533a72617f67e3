"""Access Tokens that the browser SDK sends."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskrouter_simulator.event_bridge.tokens import Grant, InvalidToken, verify
from taskrouter_simulator.identifiers import Credentials
from tests.simulator.browser_sdk import access_token, forge, open_channel, post

NOW = 1_800_000_000.0
CREDENTIALS = Credentials()


class Account:
    """A stand-in for a simulator, with the attributes that `access_token` and `forge` use."""

    account_sid = CREDENTIALS.account_sid
    api_key_sid = CREDENTIALS.api_key_sid
    api_key_secret = CREDENTIALS.api_key_secret
    workspace_sid = "WS" + "0" * 32
    workers = {"Alice": "WK" + "0" * 32}  # noqa: RUF012 - never changes


def error_code(token, now=NOW):
    with pytest.raises(InvalidToken) as error:
        verify(token, CREDENTIALS, now)
    assert error.value.status == 401
    return error.value.code


def claims(**changes):
    return forge(Account, **{"exp": NOW + 60} | changes)


def grants(**changes):
    grant = {"workspace_sid": Account.workspace_sid, "worker_sid": "WK1", "role": "worker"}
    return claims(grants={"task_router": grant | changes})


def test_token_created_by_twilios_sdk_is_accepted():
    token = access_token(Account, role="supervisor", ttl=600, valid_until=NOW + 600, nbf=NOW)
    expected = Grant(Account.workspace_sid, Account.workers["Alice"], "supervisor", NOW + 600)
    assert verify(token, CREDENTIALS, NOW) == expected


def test_role_is_worker_unless_the_grant_specifies_another_role():
    assert verify(grants(role=None), CREDENTIALS, NOW).role == "worker"
    assert verify(grants(role="admin"), CREDENTIALS, NOW).role == "admin"


def test_token_without_a_worker_is_accepted():
    assert verify(grants(worker_sid=None), CREDENTIALS, NOW).worker_sid == ""


def test_token_is_accepted_until_it_expires():
    token = claims(exp=NOW)
    assert verify(token, CREDENTIALS, NOW - 0.001).expires == NOW
    assert error_code(token) == 20104


def test_token_is_valid_for_at_most_24_hours():
    assert verify(claims(exp=NOW + 86_400), CREDENTIALS, NOW).expires == NOW + 86_400
    assert error_code(claims(exp=NOW + 86_401)) == 20157
    for expires in (float("inf"), 10**400):
        assert error_code(claims(exp=expires)) == 20157


def test_token_is_not_accepted_before_it_is_valid():
    assert verify(claims(nbf=NOW), CREDENTIALS, NOW)
    for begins in (NOW + 0.001, 10**400):
        assert error_code(claims(nbf=begins)) == 20105


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (claims(secret="x" * 32), 20107),
        (claims(secret=CREDENTIALS.auth_token), 20107),
        (claims(secret="", algorithm="none"), 20101),
        (claims(algorithm="HS512", secret=CREDENTIALS.api_key_secret * 2), 20101),
        (claims(cty="JWT"), 20102),
        (claims(iss="SK" + "0" * 32), 20103),
        (claims(sub="AC" + "0" * 32), 20103),
        (claims(exp=None), 20104),
        (claims(exp=True), 20104),
        (claims(exp=str(NOW + 60)), 20104),
        (claims(exp=float("nan")), 20104),
        (claims(nbf=str(NOW)), 20105),
        (claims(nbf=float("nan")), 20105),
        (claims(nbf=False), 20105),
        (claims(grants=None), 20106),
        (claims(grants=[]), 20106),
        (claims(grants={"voice": {}}), 20106),
        (claims(grants={"task_router": []}), 20106),
        (grants(workspace_sid=None), 20106),
        (grants(worker_sid=7), 20106),
        (grants(role="owner"), 20106),
        (grants(role=["worker"]), 20106),
        (None, 20101),
        (7, 20101),
        ("", 20101),
        ("a.b", 20101),
        ("a.b.c", 20101),
        ("\ud800", 20101),
    ],
)
def test_invalid_token_is_rejected_with_twilios_code(token, code):
    assert error_code(token) == code


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (grants(worker_sid=7), "its worker_sid must be a string"),
        (claims(exp=None), "must contain a numeric exp claim"),
        (claims(exp=float("nan")), "must contain a numeric exp claim"),
        (claims(nbf=str(NOW)), "nbf claim must be a number"),
        (claims(nbf=float("nan")), "nbf claim must be a number"),
    ],
)
def test_message_about_an_invalid_value_identifies_the_field(token, message):
    with pytest.raises(InvalidToken, match=message):
        verify(token, CREDENTIALS, NOW)


def test_token_with_changed_claims_is_rejected():
    header, _, signature = claims().split(".")
    changed = {"iss": Account.api_key_sid, "sub": Account.account_sid, "exp": NOW + 60}
    payload = base64.urlsafe_b64encode(json.dumps(changed).encode()).rstrip(b"=").decode()
    assert error_code(f"{header}.{payload}.{signature}") == 20107


@given(
    st.text()
    | st.binary().map(lambda data: f"eyJhbGciOiJIUzI1NiJ9.{base64.urlsafe_b64encode(data)}.e")
)
def test_random_text_is_rejected(text):
    error_code(text)


VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text())
GRANTS = st.dictionaries(st.sampled_from(["workspace_sid", "worker_sid", "role"]), VALUES)


@settings(max_examples=50)
@given(VALUES | GRANTS)
def test_signed_token_with_any_grant_is_accepted_or_causes_invalid_token(grant):
    try:
        accepted = verify(claims(grants={"task_router": grant}), CREDENTIALS, NOW).workspace_sid
    except InvalidToken:
        return
    assert accepted == grant["workspace_sid"]


def test_request_with_invalid_token_is_rejected(taskrouter):
    for token, code in ((forge(taskrouter, secret="x" * 32), 20107), (None, 20101)):
        status, body = post(taskrouter, json.dumps({"token": token}).encode(), {})
        assert (status, body["status"], body["code"]) == (401, 401, code)
        assert body["more_info"] == f"https://www.twilio.com/docs/errors/{code}"
        assert body["message"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"secret": "x" * 32}, "The Access Token is not signed with the API key's secret"),
        ({"exp": 1}, "The Access Token has expired"),
        (
            {"grants": {"task_router": {"workspace_sid": "WS1"}}},
            "The requested resource /Workspaces/WS1 was not found",
        ),
        # A reason longer than 123 bytes does not fit into a WebSocket's close frame.
        (
            {"grants": {"task_router": {"workspace_sid": "é" * 100}}},
            "The requested resource /Workspaces/" + "é" * 44,
        ),
        # JSON can contain half of a surrogate pair, which UTF-8 cannot represent.
        (
            {"grants": {"task_router": {"workspace_sid": "WS\ud800"}}},
            "The requested resource /Workspaces/WS? was not found",
        ),
    ],
)
def test_connection_with_invalid_token_is_closed_with_the_reason(taskrouter, changes, reason):
    with open_channel(taskrouter, token=forge(taskrouter, **changes)) as channel:
        assert channel.wait_until_closed() == (1008, reason)


@pytest.mark.parametrize("worker_sid", [None, "WK" + "0" * 40])
def test_connection_needs_an_existing_worker(taskrouter, worker_sid):
    grant = {"workspace_sid": taskrouter.workspace_sid, "worker_sid": worker_sid}
    token = forge(taskrouter, grants={"task_router": grant})
    with open_channel(taskrouter, token=token) as channel:
        code, reason = channel.wait_until_closed()
    sid = (worker_sid or "")[:34]
    assert (code, reason) == (1008, f"The Access Token's Worker {sid!r} does not exist")


def test_connection_without_token_is_closed(taskrouter):
    with open_channel(taskrouter) as channel:
        assert channel.wait_until_closed() == (
            1008,
            "The Access Token is not a JWT signed with HS256",
        )
