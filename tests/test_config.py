"""Loading and validation of the settings."""

from pathlib import Path

import pytest

from chalicelib import config
from chalicelib.adapters.twilio.taskrouter import REQUEST_SECONDS
from chalicelib.usecases.deadlines import LATEST_REQUEST_MS, REQUEST_LIMIT_MS
from tests.routes.conftest import ENVIRON
from tests.support import MAX_FINAL_CALLS

COMPLETE = {**ENVIRON, "RESERVATIONS_TABLE": "reservations", "STATE_TABLE": "state"}
REQUIRED = [name for name in COMPLETE if name != "PUBLIC_BASE_URL"]


def test_optional_settings_have_defaults() -> None:
    settings = config.load(dict(COMPLETE))
    assert settings.twilio_taskrouter_url == "https://taskrouter.twilio.com"
    assert settings.assignment_instruction == "defer"
    assert (settings.reservation_timeout_seconds, settings.claim_lease_seconds) == (120, 30)


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [None, "", "  "])
def test_error_names_the_missing_or_empty_setting(name: str, value: str | None) -> None:
    environ = dict(COMPLETE)
    if value is None:
        del environ[name]
    else:
        environ[name] = value
    with pytest.raises(config.SettingsError, match=name):
        config.load(environ)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TWILIO_ACCOUNT_SID", "AC123"),
        ("TWILIO_API_KEY_SID", "AC" + "0" * 32),
        ("TWILIO_WORKSPACE_SID", "WS" + "g" * 32),
        ("TWILIO_WORKFLOW_SID", "x"),
        ("TWILIO_WORKFLOW_SID", "WW" + "0" * 31 + "A"),
        ("TWILIO_WORKFLOW_SID", "ww" + "0" * 32),
        ("TWILIO_TASKROUTER_URL", "taskrouter.twilio.com"),
        ("TWILIO_TASKROUTER_URL", "ftp://taskrouter.twilio.com"),
        ("TWILIO_TASKROUTER_URL", "https://taskrouter.twilio.com/v1/"),
        ("PUBLIC_BASE_URL", "https://example.test/?a=b"),
        ("PUBLIC_BASE_URL", "https://user:password@example.test"),
        ("PUBLIC_BASE_URL", "https://example.test:port"),
        ("PUBLIC_BASE_URL", "https://[example.test"),
        ("CORS_ALLOW_ORIGIN", "https://example.test/page"),
        ("RESERVATION_TIMEOUT_SECONDS", "0"),
        ("RESERVATION_TIMEOUT_SECONDS", "86401"),
        ("RESERVATION_TIMEOUT_SECONDS", "2 min"),
        ("RESERVATION_TIMEOUT_SECONDS", "²"),
        ("RESERVATION_TIMEOUTS_BY_WORKFLOW", "[]"),
        ("RESERVATION_TIMEOUTS_BY_WORKFLOW", '{"WW": 1}'),
        ("RESERVATION_TIMEOUTS_BY_WORKFLOW", '{"WW' + "A" * 32 + '": 1}'),
        ("RESERVATION_TIMEOUTS_BY_WORKFLOW", '{"WW' + "0" * 32 + '": true}'),
        ("RESERVATION_TIMEOUTS_BY_WORKFLOW", '{"WW' + "0" * 32 + '": 0}'),
        ("RESERVATION_TIMEOUTS_BY_WORKFLOW", '{"WW' + "0" * 32 + '": 86401}'),
        ("CLAIM_LEASE_SECONDS", "-1"),
        ("SWEEP_GRACE_SECONDS", "1.5"),
        ("ASSIGNMENT_INSTRUCTION", "Accept"),
        ("LOG_LEVEL", "LOUD"),
        ("RETENTION_DAYS", "0"),
        ("MAX_TOKEN_SECONDS", "0"),
        ("MAX_TOKEN_SECONDS", "86401"),
        ("OIDC_ISSUER", "login.example.com"),
        ("OIDC_ISSUER", "http://login.example.com"),
        ("OIDC_ISSUER", "http://localhost.example.com"),
        ("OIDC_ISSUER", "https://user:password@login.example.com"),
        ("OIDC_ISSUER", "https://login.example.com/?a=b"),
        ("OIDC_CLIENT_ID", "a b"),
        ("OIDC_CLIENT_SECRET", "password\u00e9"),
        ("OIDC_SCOPES", "email"),
        ("OIDC_SCOPES", "openidemail"),
        ("OIDC_SCOPES", "openid  email"),
        ("OIDC_SCOPES", 'openid "'),
        ("OIDC_WORKER_CLAIM", "a b"),
        ("OIDC_WORKER_ATTRIBUTE", "a-b"),
        ("OIDC_WORKER_ATTRIBUTE", "1a"),
        ("OIDC_WORKER_ATTRIBUTE", ".a"),
        ("OIDC_WORKER_ATTRIBUTE", "a."),
        ("OIDC_WORKER_ATTRIBUTE", 'a == "b" OR c'),
        ("OIDC_ROLE_CLAIM", "\u00e9"),
        ("OIDC_ROLES", '{"a": "service"}'),
        ("OIDC_TOKEN_SECONDS", "59"),
        ("OIDC_TOKEN_SECONDS", "86401"),
    ],
)
def test_error_names_the_malformed_setting_but_contains_no_password(name: str, value: str) -> None:
    with pytest.raises(config.SettingsError, match=f"^{name} ") as error:
        config.load({**COMPLETE, name: value})
    assert "password" not in str(error.value)


@pytest.mark.parametrize("url", ["https://h:s3cret", "https://h:99999", "https://[s3cret"])
def test_error_for_an_unparsable_url_explains_the_format(url: str) -> None:
    for name in ("PUBLIC_BASE_URL", "TWILIO_TASKROUTER_URL"):
        with pytest.raises(config.SettingsError) as error:
            config.load({**COMPLETE, name: url})
        assert str(error.value) == (
            f"{name} must be an http or https URL without a query, fragment or user name."
        )
    with pytest.raises(config.SettingsError) as error:
        config.load({**COMPLETE, "CORS_ALLOW_ORIGIN": url})
    assert str(error.value) == (
        "CORS_ALLOW_ORIGIN must be an origin such as https://desk.example, or *."
    )


@pytest.mark.parametrize("name", ["PUBLIC_BASE_URL", "TWILIO_TASKROUTER_URL"])
@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("https://x y", "must contain only ASCII characters and no white space"),
        ("https://x.y/a b", "must contain only ASCII characters and no white space"),
        ("https://x.y/a\tb", "must contain only ASCII characters and no white space"),
        ("https://\u00e9.fr", "must contain only ASCII characters and no white space"),
        ("https://x.y/\u00e9", "must contain only ASCII characters and no white space"),
        ('https://x.y/"a"', "must be an http or https URL"),
        ("https://x%20y", "must be an http or https URL"),
        ("https://x.y:", "must be an http or https URL"),
        ("https://x.y/?", "must be an http or https URL"),
        ("https://x.y#", "must be an http or https URL"),
        ("https://@x.y", "must be an http or https URL"),
        ("https:x.y", "must be an http or https URL"),
    ],
)
def test_malformed_or_unsupported_url_is_refused(name: str, url: str, problem: str) -> None:
    with pytest.raises(config.SettingsError, match=f"^{name} {problem}"):
        config.load({**COMPLETE, name: url})


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("HTTPS://X.Y", "https://x.y"),
        ("Https://Api.Example.com:8443/Prod/", "https://api.example.com:8443/Prod"),
        ("http://[::FFFF:1]/A%2Fb", "http://[::ffff:1]/A%2Fb"),
    ],
)
def test_scheme_and_host_of_a_url_are_converted_to_lower_case(text: str, url: str) -> None:
    settings = config.load({**COMPLETE, "PUBLIC_BASE_URL": text, "TWILIO_TASKROUTER_URL": text})
    assert (settings.public_base_url, settings.twilio_taskrouter_url) == (url, url)


def test_origin_is_converted_to_lower_case_or_refused() -> None:
    for text, origin in (("HTTPS://Desk.Example:8443", "https://desk.example:8443"), ("*", "*")):
        assert config.load({**COMPLETE, "CORS_ALLOW_ORIGIN": text}).cors_allow_origin == origin
    for text in ("https://d\u00e9sk.example", "https://desk example", "https://desk.example/"):
        with pytest.raises(config.SettingsError, match="^CORS_ALLOW_ORIGIN must be an origin"):
            config.load({**COMPLETE, "CORS_ALLOW_ORIGIN": text})


def test_repr_contains_no_secrets() -> None:
    text = repr(config.load(dict(COMPLETE)))
    assert COMPLETE["TWILIO_AUTH_TOKEN"] not in text
    assert COMPLETE["TWILIO_API_KEY_SECRET"] not in text
    assert COMPLETE["TWILIO_ACCOUNT_SID"] in text


def test_environment_overrides_the_defaults_file() -> None:
    environ = {
        "SETTINGS_DEFAULTS": "local/settings.env",
        "ASSIGNMENT_INSTRUCTION": "accept",
    }
    environ["RESERVATION_TIMEOUT_SECONDS"] = "77"

    settings = config.load(environ)

    assert settings.reservation_timeout_seconds == 77
    assert settings.assignment_instruction == "accept"
    assert settings.twilio_account_sid.startswith("AC")
    assert environ["AWS_ENDPOINT_URL_DYNAMODB"] == "http://127.0.0.1:8001"


def test_addresses_in_the_defaults_file_use_the_configured_ports() -> None:
    environ = {"SETTINGS_DEFAULTS": "local/settings.env", "API_PORT": "8150"}
    environ |= {"DYNAMODB_PORT": "8151", "SIMULATOR_PORT": "8152"}

    settings = config.load(environ)

    assert settings.public_base_url == "http://127.0.0.1:8150"
    assert environ["AWS_ENDPOINT_URL_DYNAMODB"] == "http://127.0.0.1:8151"
    assert settings.twilio_taskrouter_url == "http://127.0.0.1:8152"


def test_defaults_file_is_refused_on_lambda() -> None:
    environ = {
        "SETTINGS_DEFAULTS": "local/settings.env",
        "AWS_LAMBDA_FUNCTION_NAME": "f",
    }
    with pytest.raises(config.SettingsError, match="SETTINGS_DEFAULTS"):
        config.load(environ)


def test_defaults_file_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    lines = [f"{name}={value}" for name, value in COMPLETE.items()]
    file.write_text("\n".join([*lines, "RETENTION_DAYS=7"]), encoding="utf-8-sig")
    assert config.load({"SETTINGS_DEFAULTS": str(file)}).retention_days == 7


def test_missing_defaults_file_is_reported() -> None:
    with pytest.raises(config.SettingsError, match="SETTINGS_DEFAULTS"):
        config.load({"SETTINGS_DEFAULTS": "missing.env"})


def test_defaults_file_that_is_not_utf_8_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("RETENTION_DAYS=7", encoding="utf-16")
    with pytest.raises(config.SettingsError, match="Save it as UTF-8"):
        config.load({"SETTINGS_DEFAULTS": str(file)})


def test_claim_lease_must_exceed_the_function_timeout_on_lambda() -> None:
    environ = {**COMPLETE, "AWS_LAMBDA_FUNCTION_NAME": "f", "CLAIM_LEASE_SECONDS": "29"}
    with pytest.raises(config.SettingsError, match="CLAIM_LEASE_SECONDS"):
        config.load(environ)


@pytest.mark.parametrize(
    ("variable", "text", "problem"),
    [
        ("API_PORT", "x", "must be a port from 1 to 65535, not 'x'"),
        ("DYNAMODB_PORT", "65536", "must be a port from 1 to 65535, not '65536'"),
        ("SIMULATOR_PORT", "-1", "must be a port from 1 to 65535, not '-1'"),
        ("AWS_DEFAULT_REGION", "eu west", "must be an AWS region .*, not 'eu west'"),
        ("AWS_ENDPOINT_URL_DYNAMODB", "foo", "must be an http or https URL .*, not 'foo'"),
    ],
)
def test_error_names_the_malformed_local_variable(variable, text, problem) -> None:
    environ = {"SETTINGS_DEFAULTS": "local/settings.env", variable: text}

    with pytest.raises(config.SettingsError, match=f"^{variable} {problem}"):
        config.load(environ)


@pytest.mark.parametrize("budget", ["2.8", "4.5"])
def test_longest_api_request_ends_before_api_gateway_times_out(budget: str) -> None:
    settings = config.load({**COMPLETE, "CALLBACK_BUDGET_SECONDS": budget})
    longest = (
        settings.secrets_seconds
        + REQUEST_LIMIT_MS / 1000
        + MAX_FINAL_CALLS * settings.dynamodb_seconds
    )
    assert longest < config.API_TIMEOUT_SECONDS
    assert LATEST_REQUEST_MS + REQUEST_SECONDS * 1000 == REQUEST_LIMIT_MS


SIGN_IN = {**COMPLETE, "OIDC_ISSUER": "https://login.example.com", "OIDC_CLIENT_ID": "console"}


def test_sign_in_is_off_by_default_and_its_settings_have_defaults() -> None:
    settings = config.load(dict(COMPLETE))
    assert settings.oidc_issuer == ""
    settings = config.load(dict(SIGN_IN))
    assert settings.oidc_scopes == "openid email"
    assert (settings.oidc_worker_claim, settings.oidc_worker_attribute) == (
        "email",
        "friendly_name",
    )
    assert (settings.oidc_role_claim, settings.oidc_roles) == ("groups", {"*": "worker"})
    assert (settings.oidc_client_secret, settings.oidc_token_seconds) == ("", 3600)


@pytest.mark.parametrize(
    "issuer",
    [
        "https://Login.example.com/Tenant/",
        "https://login.example.com",
        "http://127.0.0.1:8080",
        "http://localhost/realms/a",
        "http://[::1]:8080",
    ],
)
def test_issuer_is_kept_unchanged(issuer: str) -> None:
    assert config.load({**SIGN_IN, "OIDC_ISSUER": issuer}).oidc_issuer == issuer


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OIDC_CLIENT_ID", "!~"),
        ("OIDC_SCOPES", "openid"),
        ("OIDC_SCOPES", "openid email https://example.com/scope"),
        ("OIDC_WORKER_CLAIM", "https://example.com/employee"),
        ("OIDC_WORKER_ATTRIBUTE", "_a.b1.c"),
        ("OIDC_ROLE_CLAIM", "cognito:groups"),
    ],
)
def test_valid_sign_in_setting_is_accepted(name: str, value: str) -> None:
    assert getattr(config.load({**SIGN_IN, name: value}), name.lower()) == value


def test_issuer_requires_a_client_id_and_rules_out_a_remote_http_base_url() -> None:
    with pytest.raises(config.SettingsError, match="^OIDC_CLIENT_ID must be set"):
        config.load({**SIGN_IN, "OIDC_CLIENT_ID": ""})
    with pytest.raises(config.SettingsError, match="^PUBLIC_BASE_URL must be an https URL"):
        config.load({**SIGN_IN, "PUBLIC_BASE_URL": "http://calls.example.com"})
    for url in ("", "https://calls.example.com", "http://127.0.0.1:8000", "http://localhost"):
        config.load({**SIGN_IN, "PUBLIC_BASE_URL": url})
    config.load({**COMPLETE, "PUBLIC_BASE_URL": "http://calls.example.com"})


def test_client_secret_is_not_in_repr_and_is_ignored_if_secrets_parameter_is_set() -> None:
    environ = {**SIGN_IN, "OIDC_CLIENT_SECRET": "s3cret"}
    settings = config.load(dict(environ))
    assert settings.oidc_client_secret == "s3cret"
    assert "s3cret" not in repr(settings)
    assert config.load({**environ, "SECRETS_PARAMETER": "/secrets"}).oidc_client_secret == ""
