"""Secrets in an SSM parameter are cached and read again only if needed."""

import json
import time
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, NoCredentialsError, ReadTimeoutError
from twilio.jwt.access_token import AccessToken
from twilio.jwt.access_token.grants import TaskRouterGrant
from twilio.request_validator import HMAC_SHA256, RequestValidator

from chalicelib import observability
from chalicelib.adapters.secrets import ParameterSecrets, Secrets, parse_secrets, ssm_client
from chalicelib.adapters.twilio.access_tokens import TokenVerifier
from chalicelib.adapters.twilio.signature import SignatureVerifier
from chalicelib.domain.callbacks import Form
from chalicelib.domain.errors import InvalidSignature, SecretsUnavailable, Unauthorized
from tests.moto_over_http import MotoOverHttp
from tests.scripted_aws import SLOW, Step, http_response, respond, scripted_server
from tests.support import ManualClock

URL = "https://example.test/api/event_callback"
FORM = Form([("a", "1")])
ACCOUNT, WORKSPACE, KEY = "AC" + "1" * 32, "WS" + "2" * 32, "SK" + "3" * 32
OTHER_KEY = "SK" + "4" * 32
SECRET = "a secret that is long enough for HS256"


class FakeSsm:
    """A fake SSM client that returns one parameter, counts reads and can fail."""

    def __init__(self, **value: Any) -> None:
        self.value: dict[str, Any] = {"auth_tokens": ["old"], "api_keys": {KEY: SECRET}, **value}
        self.reads = 0
        self.is_failing = False

    def get_parameter(self, **_request: object) -> dict[str, Any]:
        self.reads += 1
        if self.is_failing:
            raise ReadTimeoutError(endpoint_url="https://ssm")
        return {"Parameter": {"Value": json.dumps(self.value)}}


def make_secrets(ssm: FakeSsm, clock: ManualClock) -> ParameterSecrets:
    return ParameterSecrets("/taskrouter/secrets", ssm, clock.now_ms)


def sign(token: str) -> str:
    return str(RequestValidator(token).compute_signature(URL, FORM))


def test_parameter_is_read_once_for_many_callbacks() -> None:
    ssm = FakeSsm()
    verifier = SignatureVerifier(make_secrets(ssm, ManualClock()))
    for _ in range(10):
        verifier.verify(URL, FORM, sign("old"))
    assert ssm.reads == 1


def test_secure_string_is_read_from_the_ssm_api(moto_over_http: MotoOverHttp) -> None:
    secrets = ParameterSecrets("/taskrouter/secrets", ssm_client(30), ManualClock().now_ms)
    with pytest.raises(SecretsUnavailable, match="returned ParameterNotFound"):
        secrets.get()
    boto3.client("ssm").put_parameter(
        Name="/taskrouter/secrets", Value=json.dumps(FakeSsm().value), Type="SecureString"
    )
    secrets = ParameterSecrets("/taskrouter/secrets", ssm_client(30), ManualClock().now_ms)
    assert secrets.get().auth_tokens == ("old",)
    assert moto_over_http.targets.count("AmazonSSM.GetParameter") == 2


@pytest.mark.parametrize("step", SLOW.values(), ids=SLOW)
def test_slow_ssm_response_is_abandoned_at_the_time_limit(
    monkeypatch: pytest.MonkeyPatch, step: Step
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with scripted_server(step) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", server.url)
        secrets = ParameterSecrets("/secrets", ssm_client(0.5), ManualClock().now_ms)
        started = time.monotonic()
        with pytest.raises(SecretsUnavailable):
            secrets.get()
        assert time.monotonic() - started < 2.5
        assert len(server.requests) == 1


@pytest.mark.parametrize("content", [b"{}", b'{"Parameter": null}', b'{"Parameter": {"Value": 5}}'])
def test_ssm_response_without_a_value_is_reported(
    monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    with scripted_server(respond(http_response(200, content))) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SSM", server.url)
        with pytest.raises(SecretsUnavailable):
            ParameterSecrets("/secrets", ssm_client(30), ManualClock().now_ms).get()


def test_old_and_new_auth_tokens_are_valid_during_rotation() -> None:
    ssm, clock = FakeSsm(), ManualClock()
    verifier = SignatureVerifier(make_secrets(ssm, clock))
    verifier.verify(URL, FORM, sign("old"))

    ssm.value["auth_tokens"] = ["old", "new"]
    clock.now += 59_999
    with pytest.raises(InvalidSignature):
        verifier.verify(URL, FORM, sign("new"))
    clock.now += 1
    verifier.verify(URL, FORM, sign("new"))
    verifier.verify(URL, FORM, sign("old"))
    assert ssm.reads == 2


def test_parameter_is_read_once_per_minute_despite_many_forged_requests() -> None:
    ssm, clock = FakeSsm(), ManualClock()
    verifier = SignatureVerifier(make_secrets(ssm, clock))
    for _ in range(120):
        with pytest.raises(InvalidSignature):
            verifier.verify(URL, FORM, sign("forged"))
        clock.now += 1_000
    assert ssm.reads == 2


def test_failed_first_read_is_retried_after_one_second() -> None:
    ssm, clock = FakeSsm(), ManualClock()
    ssm.is_failing = True
    verifier = SignatureVerifier(make_secrets(ssm, clock))
    for _ in range(50):
        with pytest.raises(SecretsUnavailable):
            verifier.verify(URL, FORM, sign("old"))
    ssm.is_failing = False
    clock.now += 999
    with pytest.raises(SecretsUnavailable):
        verifier.verify(URL, FORM, sign("old"))
    assert ssm.reads == 1
    clock.now += 1
    verifier.verify(URL, FORM, sign("old"))
    assert ssm.reads == 2


def test_secrets_are_kept_if_refresh_fails() -> None:
    ssm, clock = FakeSsm(), ManualClock()
    verifier = SignatureVerifier(make_secrets(ssm, clock))
    verifier.verify(URL, FORM, sign("old"))
    ssm.is_failing = True
    clock.now += 60_000

    with pytest.raises(InvalidSignature):
        verifier.verify(URL, FORM, sign("forged"))
    verifier.verify(URL, FORM, sign("old"))


def test_removed_auth_token_becomes_invalid_after_five_minutes() -> None:
    ssm, clock = FakeSsm(), ManualClock()
    verifier = SignatureVerifier(make_secrets(ssm, clock))
    verifier.verify(URL, FORM, sign("old"))
    ssm.value["auth_tokens"] = ["new"]
    clock.now += 299_999
    verifier.verify(URL, FORM, sign("old"))
    clock.now += 1
    with pytest.raises(InvalidSignature):
        verifier.verify(URL, FORM, sign("old"))


def bearer_token(secret: str = SECRET, key: str = KEY) -> str:
    grant = TaskRouterGrant(workspace_sid=WORKSPACE, role="supervisor")
    return f"Bearer {AccessToken(ACCOUNT, key, secret, grants=[grant]).to_jwt()}"


def test_reading_the_secrets_for_a_new_api_key_invalidates_the_removed_key() -> None:
    ssm, clock = FakeSsm(), ManualClock()
    verifier = TokenVerifier(make_secrets(ssm, clock), account_sid=ACCOUNT, workspace_sid=WORKSPACE)
    verifier.principal(bearer_token())

    new_key = "SK" + "4" * 32
    ssm.value["api_keys"] = {new_key: SECRET}
    clock.now += 60_000
    verifier.principal(bearer_token(key=new_key))
    with pytest.raises(Unauthorized):
        verifier.principal(bearer_token())


def test_removed_api_key_becomes_invalid_after_five_minutes() -> None:
    ssm, clock = FakeSsm(), ManualClock()
    verifier = TokenVerifier(make_secrets(ssm, clock), account_sid=ACCOUNT, workspace_sid=WORKSPACE)
    verifier.principal(bearer_token())

    ssm.value["api_keys"] = {"SK" + "4" * 32: SECRET}
    clock.now += 299_999
    verifier.principal(bearer_token())
    clock.now += 1
    with pytest.raises(Unauthorized):
        verifier.principal(bearer_token())


SHARED_KEY_HEADER = "key=k1,algorithm=HMAC_SHA256"


def sign_with_shared_key(secret: str, algorithm: str = HMAC_SHA256) -> str:
    return str(RequestValidator(secret).compute_signature(URL, FORM, algorithm))


def test_shared_key_verifies_sha256_signature() -> None:
    verifier = SignatureVerifier(make_secrets(FakeSsm(shared_keys={"k1": "one"}), ManualClock()))
    verifier.verify(URL, FORM, sign_with_shared_key("one"), SHARED_KEY_HEADER)
    verifier.verify(URL, FORM, sign_with_shared_key("one"), "key=k1, algorithm=HMAC_SHA256")
    verifier.verify(URL, FORM, sign("old"))


@pytest.mark.parametrize(
    ("secret", "algorithm", "header"),
    [
        ("two", HMAC_SHA256, SHARED_KEY_HEADER),
        ("one", HMAC_SHA256, "key=k2,algorithm=HMAC_SHA256"),
        ("one", "HMAC_SHA1", "key=k1,algorithm=HMAC_SHA1"),
        ("one", "HMAC_SHA1", "key=k1"),
        ("one", "HMAC_SHA1", None),
        ("old", "HMAC_SHA1", SHARED_KEY_HEADER),
        ("old", HMAC_SHA256, SHARED_KEY_HEADER),
        ("old", HMAC_SHA256, "algorithm=HMAC_SHA256"),
        ("old", HMAC_SHA256, None),
        ("", HMAC_SHA256, "key=,algorithm=HMAC_SHA256"),
        ("one", HMAC_SHA256, "key=k2,key=k1,algorithm=HMAC_SHA256"),
        ("one", HMAC_SHA256, "key=k1,algorithm=HMAC_MD5"),
        ("one", HMAC_SHA256, ",,=,"),
    ],
)
def test_signature_that_does_not_match_the_signature_settings_header_is_invalid(
    secret: str, algorithm: str, header: str | None
) -> None:
    verifier = SignatureVerifier(make_secrets(FakeSsm(shared_keys={"k1": "one"}), ManualClock()))
    with pytest.raises(InvalidSignature):
        verifier.verify(URL, FORM, sign_with_shared_key(secret, algorithm), header)


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"auth_tokens": ["t"]},
        {"auth_tokens": [], "api_keys": {KEY: SECRET}},
        {"auth_tokens": "token", "api_keys": {KEY: SECRET}},
        {"auth_tokens": [1], "api_keys": {KEY: SECRET}},
        {"auth_tokens": [""], "api_keys": {KEY: SECRET}},
        {"auth_tokens": ["t"], "api_keys": {}},
        {"auth_tokens": ["t"], "api_keys": {"key": SECRET}},
        {"auth_tokens": ["t"], "api_keys": {KEY: ""}},
        {"auth_tokens": ["t"], "api_keys": {KEY: SECRET}, "shared_keys": ["k"]},
        {"auth_tokens": ["t"], "api_keys": {KEY: SECRET}, "shared_keys": {"k": 5}},
        {"auth_tokens": ["t"], "api_keys": {KEY: SECRET}, "shared_keys": {"k": "", "l": "s"}},
        {"auth_tokens": ["t"], "api_keys": {KEY: SECRET}, "shared_keys": None},
        {"auth_tokens": ["t"], "api_keys": {KEY: SECRET}, "oidc_client_secret": None},
        {"auth_tokens": ["t"], "api_keys": {KEY: SECRET}, "oidc_client_secret": [SECRET]},
        {"auth_tokens": ["t"], "api_keys": {KEY: SECRET, "key": SECRET}},
        {"auth_tokens": ["t"], "api_keys": {KEY: SECRET, OTHER_KEY: 5}},
        {"auth_tokens": ["t"], "api_keys": [KEY]},
        {"auth_tokens": ["t", ""], "api_keys": {KEY: SECRET}},
        {"auth_tokens": ["t", 1], "api_keys": {KEY: SECRET}},
        {"auth_tokens": {"t": "t"}, "api_keys": {KEY: SECRET}},
        {"api_keys": {KEY: SECRET}},
        [],
        "token",
    ],
)
def test_error_for_malformed_parameter_contains_no_secret(value: Any) -> None:
    with pytest.raises(SecretsUnavailable, match="must be a JSON object with auth_tokens") as error:
        parse_secrets(json.dumps(value))
    assert SECRET not in str(error.value)


def test_parameter_must_be_json() -> None:
    with pytest.raises(SecretsUnavailable, match="must be a JSON object with auth_tokens"):
        parse_secrets("{")


@pytest.mark.parametrize("shared", [None, {}, {"k1": "one", "k2": "two"}])
def test_secrets_are_parsed_and_hidden_in_repr(shared: dict[str, str] | None) -> None:
    value: dict[str, Any] = {"auth_tokens": ["t", "u"], "api_keys": {KEY: SECRET, OTHER_KEY: "o"}}
    if shared is not None:
        value["shared_keys"] = shared
    secrets = parse_secrets(json.dumps(value))
    assert secrets == Secrets(("t", "u"), {KEY: SECRET, OTHER_KEY: "o"}, shared or {})
    assert secrets.api_key == (KEY, SECRET)
    assert repr(secrets) == "Secrets()"


def test_openid_connect_client_secret_is_optional_and_hidden() -> None:
    value = {"auth_tokens": ["t"], "api_keys": {KEY: SECRET}}
    assert parse_secrets(json.dumps(value)).oidc_client_secret == ""
    secrets = parse_secrets(json.dumps({**value, "oidc_client_secret": "client"}))
    assert secrets.oidc_client_secret == "client"
    assert repr(secrets) == "Secrets()"


def test_decrypted_parameter_is_requested() -> None:
    requests: list[dict[str, Any]] = []

    class RecordingSsm(FakeSsm):
        def get_parameter(self, **request: object) -> dict[str, Any]:
            requests.append(request)
            return super().get_parameter()

    make_secrets(RecordingSsm(), ManualClock()).get()
    assert requests == [{"Name": "/taskrouter/secrets", "WithDecryption": True}]


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        (
            ReadTimeoutError(endpoint_url="https://ssm"),
            "SSM at https://ssm did not respond in time. Retry.",
        ),
        (NoCredentialsError(), "Unable to locate credentials. Retry."),
        (
            ClientError({"Error": {"Code": "ThrottlingException"}}, "x"),
            "SSM returned ThrottlingException. Retry.",
        ),
        (
            ClientError({"Error": {"Code": "AccessDeniedException"}}, "x"),
            "SSM returned AccessDeniedException.",
        ),
        (
            ClientError({"ResponseMetadata": {"HTTPStatusCode": 500}}, "x"),
            "SSM returned an error. Retry.",
        ),
        (ClientError({}, "x"), "SSM returned an error."),
        (KeyError("Parameter"), "SSM returned no value. Retry."),
        (TypeError(), "SSM returned no value. Retry."),
    ],
)
def test_failure_to_read_the_secrets_is_explained_and_logged(
    failure: Exception, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class BrokenSsm(FakeSsm):
        def get_parameter(self, **_request: object) -> dict[str, Any]:
            raise failure

    bound: dict[str, Any] = {}
    monkeypatch.setattr(observability, "bind", bound.update)
    with pytest.raises(SecretsUnavailable) as raised:
        make_secrets(BrokenSsm(), ManualClock()).get()
    assert raised.value.message == f"The secrets can't be read: {cause}"
    assert bound == {"secrets": raised.value.message}
