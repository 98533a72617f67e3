"""The secret segment in the paths of the routes that Twilio calls."""

from collections import defaultdict
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app import app
from chalicelib import config
from chalicelib.config import SettingsError
from chalicelib.routes.callbacks import move_twilio_routes, twilio_routes
from tests.routes.conftest import BASE_URL, ENVIRON, FORM, Api
from tests.routes.test_signed_url import EXECUTE_API, status_of
from tests.support import sid

SECRET, NEXT = "first-secret_0123456", "NextSecret9876543210"
PATHS = [path for path, _ in twilio_routes(app)]


@pytest.fixture
def secrets() -> str:
    return SECRET


@pytest.fixture
def secret_api(
    secrets: str,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Api:
    """The app with the routes of a stage that sets CALLBACK_PATH_SECRETS."""
    environ["CALLBACK_PATH_SECRETS"] = secrets
    routes = defaultdict(dict, {path: dict(methods) for path, methods in app.routes.items()})
    monkeypatch.setattr(app, "routes", routes)
    monkeypatch.setattr(app, "middleware_handlers", list(app.middleware_handlers))
    move_twilio_routes(app, config.load(environ).callback_prefixes)
    api: Api = request.getfixturevalue("api")
    return api


def post(api: Api, path: str, signed_path: str | None = None) -> Any:
    """Post a form to a path, with a signature for *signed_path* (default: the same path)."""
    parameters = api.callback_parameters(CallSid=sid("CA"), EventType="task.created")
    signature = api.sign(parameters, BASE_URL + (path if signed_path is None else signed_path))
    headers = {"Content-Type": FORM, "X-Twilio-Signature": signature}
    return api.http.post(path, headers=headers, body=urlencode(parameters).encode())


@pytest.mark.parametrize("path", PATHS)
def test_signed_request_to_the_secret_path_is_accepted(secret_api: Api, path: str) -> None:
    assert post(secret_api, f"/{SECRET}{path}").status_code in (200, 204)
    (line,) = secret_api.lines()
    assert line["route"] == path


@pytest.mark.parametrize("path", PATHS)
def test_twilio_routes_without_the_secret_do_not_exist(secret_api: Api, path: str) -> None:
    registered = set(app.routes)
    assert f"/{SECRET}{path}" in registered
    assert path not in registered
    assert {"/health", "/reservations"} <= registered


@pytest.mark.parametrize("path", PATHS)
def test_signature_must_cover_the_secret_path(secret_api: Api, path: str) -> None:
    assert post(secret_api, f"/{SECRET}{path}", signed_path=path).status_code == 403
    assert post(secret_api, f"/{SECRET}{path}", signed_path=f"/{NEXT}{path}").status_code == 403


@pytest.mark.parametrize("end", ["", "/", "?tenant=acme"])
@pytest.mark.parametrize(
    "case",
    [
        ("https://calls.example/api", "/dev", "https://calls.example/api"),
        ("https://calls.example", "/dev", "https://calls.example"),
        ("", "/dev", f"https://{EXECUTE_API}/dev"),
        ("", "", f"https://{EXECUTE_API}"),
    ],
)
def test_signed_url_contains_the_stage_or_base_url_before_the_secret(
    environ: dict[str, str],
    request: pytest.FixtureRequest,
    case: tuple[str, str, str],
    end: str,
) -> None:
    base_url, prefix, signed_base = case
    environ["PUBLIC_BASE_URL"] = base_url
    secret_api: Api = request.getfixturevalue("secret_api")
    route = f"/{SECRET}/incoming_call"
    slash, _, tenant = end.partition("?tenant=")
    path = {"domain": EXECUTE_API, "path": prefix + route + slash}
    query = {"tenant": [tenant]} if tenant else None
    assert status_of(signed_base + route + end, route, **path, query=query) == 200
    for other in ("/incoming_call", f"/{NEXT}/incoming_call"):
        assert status_of(signed_base + other + end, route, **path, query=query) == 403
    assert SECRET not in secret_api.log.getvalue()


@pytest.mark.parametrize("base_url", [BASE_URL, "https://calls.example", ""])
@pytest.mark.parametrize("end", ["", "/", "?tenant=acme"])
def test_log_and_response_do_not_contain_the_secret(
    environ: dict[str, str], request: pytest.FixtureRequest, base_url: str, end: str
) -> None:
    environ["PUBLIC_BASE_URL"] = base_url
    secret_api: Api = request.getfixturevalue("secret_api")
    path = f"/{SECRET}/assignment_callback"
    responses = [
        post(secret_api, path + end, signed_path="/other"),
        secret_api.http.post(path + end, headers={"Content-Type": FORM}, body=b"a=b"),
        secret_api.http.post(path + end, headers={"Content-Type": "text/plain"}, body=b"a"),
        secret_api.http.get(path + end),
    ]
    assert [response.status_code for response in responses] == [403, 403, 415, 405]
    assert not any(SECRET in response.body.decode() for response in responses)
    assert SECRET not in secret_api.log.getvalue()
    assert {line["route"] for line in secret_api.lines()} == {"/assignment_callback"}
    checked = secret_api.lines()[0]["checked_url"]
    assert checked.partition("?")[0].rstrip("/").endswith("/***/assignment_callback")


@pytest.mark.parametrize("secrets", [f"{SECRET},{NEXT}", f"{NEXT}, {SECRET}"])
def test_two_secrets_are_accepted_during_a_rotation(secret_api: Api) -> None:
    for secret in (SECRET, NEXT):
        assert post(secret_api, f"/{secret}/assignment_callback").status_code == 200
    assert "/assignment_callback" not in app.routes


@pytest.mark.parametrize("secrets", [f"{SECRET},open", f"open,{SECRET}"])
def test_open_path_is_accepted_while_a_secret_is_introduced(secret_api: Api) -> None:
    assert post(secret_api, "/assignment_callback").status_code == 200
    assert post(secret_api, f"/{SECRET}/assignment_callback").status_code == 200


@pytest.mark.parametrize("secrets", ["", "open"])
def test_path_is_open_if_no_secret_is_set(secret_api: Api) -> None:
    assert post(secret_api, "/assignment_callback").status_code == 200
    assert not any("secret" in path for path in app.routes)


def test_urls_in_twiml_are_relative_to_the_secret_path(secret_api: Api) -> None:
    body = post(secret_api, f"/{SECRET}/incoming_call").body.decode()
    assert 'action="enqueue_call"' in body
    assert SECRET not in body


def load(secrets: str) -> config.Settings:
    tables = {"RESERVATIONS_TABLE": "r", "STATE_TABLE": "s"}
    return config.load({**ENVIRON, **tables, "CALLBACK_PATH_SECRETS": secrets})


@pytest.mark.parametrize(
    "secrets",
    [
        "short",
        "reservations",
        "accept_reservation",
        "a" * 19,
        "a" * 65,
        "with/slash/0123456789",
        "{placeholder}0123456789",
        "percent%2F0123456789abc",
        "s\u00e9cret-0123456789abcdef",
        f"{SECRET},",
        f"{SECRET},{SECRET}",
        "open,open",
        f"{SECRET},{NEXT},open",
        "OPEN",
    ],
)
def test_error_for_an_invalid_secret_does_not_contain_the_secret(secrets: str) -> None:
    with pytest.raises(SettingsError, match='CALLBACK_PATH_SECRETS must be "open", or a') as error:
        load(secrets)
    assert secrets == "open,open" or secrets not in str(error.value)


def test_repr_of_the_settings_hides_the_secrets() -> None:
    assert SECRET not in repr(load(SECRET))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(secret=st.from_regex("[A-Za-z0-9_-]{20,64}", fullmatch=True))
def test_no_secret_collides_with_a_route(secret: str) -> None:
    (prefix,) = load(secret).callback_prefixes
    first_segments = {path.split("/")[1] for path in app.routes}
    assert prefix == f"/{secret}"
    assert secret not in first_segments
