"""Clients on other machines need the control token to use the control routes."""

import asyncio
import http.client
import json
import socket
from urllib.parse import urlsplit

import pytest
from starlette.requests import Request

from taskrouter_simulator.origins import NOT_LOCAL
from taskrouter_simulator.server import Simulator, uvicorn_config
from taskrouter_simulator.setting_values import SettingsError, read
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.testing import TaskRouter, running
from taskrouter_simulator.web import has_token

TOKEN = "0123456789abcdef"
REMOTE = {"Host": "simulator.example:8002"}
"""Headers that make a request non-local even if it comes from a loopback address."""


@pytest.fixture(scope="module")
def guarded_simulator():
    with running(control_token=TOKEN) as simulator:
        yield simulator


def status(simulator, method="GET", path="/simulator", **headers):
    connection = http.client.HTTPConnection(urlsplit(simulator.url).netloc, timeout=5)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    if response.status == 403:
        assert content.decode() == json.dumps({"message": NOT_LOCAL}, separators=(",", ":"))
    return response.status


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_remote_client_is_accepted_with_the_token(guarded_simulator, scheme):
    assert status(guarded_simulator, **REMOTE, Authorization=f"{scheme} {TOKEN}") == 200


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        f"Bearer  {TOKEN}",
        f"Basic {TOKEN}",
        f"Bearer{TOKEN}",
        TOKEN,
        "Bearer ",
        "Bearer",
        "Bearer \xe9",
    ],
)
def test_remote_client_is_rejected_with_an_invalid_authorization_header(
    guarded_simulator, authorization
):
    assert status(guarded_simulator, **REMOTE, Authorization=authorization) == 403


def test_remote_client_is_rejected_without_an_authorization_header(guarded_simulator):
    assert status(guarded_simulator, **REMOTE) == 403


def test_remote_reset_requires_the_token(guarded_simulator):
    assert status(guarded_simulator, "POST", "/simulator/reset", **REMOTE) == 403
    accepted = {"Authorization": f"Bearer {TOKEN}"}
    assert status(guarded_simulator, "POST", "/simulator/reset", **REMOTE, **accepted) == 200


def test_client_on_this_machine_needs_no_token(guarded_simulator):
    assert status(guarded_simulator) == 200


def test_web_page_from_another_origin_is_rejected_without_the_token(guarded_simulator):
    assert status(guarded_simulator, Origin="https://evil.example") == 403


@pytest.mark.parametrize("authorization", [f"Bearer {TOKEN}", "Bearer ", "Bearer"])
def test_remote_client_is_rejected_if_no_token_is_configured(taskrouter, authorization):
    assert status(taskrouter, **REMOTE, Authorization=authorization) == 403


def portal_status(simulator, **headers):
    connection = http.client.HTTPConnection(urlsplit(simulator.url).netloc, timeout=5)
    connection.request("GET", "/simulator/portal", headers=headers)
    status = connection.getresponse().status
    connection.close()
    return status


def test_portal_is_available_on_this_machine_without_the_token(guarded_simulator):
    assert portal_status(guarded_simulator) == 200


def test_token_does_not_give_access_to_the_portal(guarded_simulator):
    assert portal_status(guarded_simulator, **REMOTE, Authorization=f"Bearer {TOKEN}") == 403


PROXY_HEADERS = {
    "X-Forwarded-For": "127.0.0.1",
    "x-forwarded-proto": "http",
    "X-Forwarded-Host": "localhost",
    "Forwarded": "for=127.0.0.1",
    "Via": "1.1 proxy",
    "X-Real-IP": "127.0.0.1",
}


@pytest.mark.parametrize("name", PROXY_HEADERS)
def test_client_behind_a_proxy_on_this_machine_needs_the_token(guarded_simulator, taskrouter, name):
    headers = {name: PROXY_HEADERS[name]}
    assert status(guarded_simulator, **headers) == status(taskrouter, **headers) == 403
    assert status(guarded_simulator, **headers, Authorization=f"Bearer {TOKEN}") == 200
    assert portal_status(guarded_simulator, **headers) == 403


@pytest.mark.parametrize("name", ["X-Forwarded", "Viaduct", "Max-Forwards"])
def test_client_with_a_header_similar_to_a_proxy_header_is_treated_as_local(
    guarded_simulator, name
):
    assert (
        status(guarded_simulator, **{name: "1"})
        == portal_status(guarded_simulator, **{name: "1"})
        == 200
    )


def test_forwarded_address_and_scheme_are_ignored(monkeypatch):
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")  # read by uvicorn
    scopes = []

    async def app(scope, receive, send):
        scopes.append((scope["client"][0], scope["scheme"]))

    simulator = Simulator(Settings())
    simulator.app = app
    config = uvicorn_config(simulator)
    config.load()
    headers = [(b"x-forwarded-for", b"127.0.0.1"), (b"x-forwarded-proto", b"https")]
    scope = {"type": "http", "client": ("192.0.2.1", 9), "scheme": "http", "headers": headers}
    asyncio.run(config.loaded_app(scope, None, None))
    assert scopes == [("192.0.2.1", "http")]


def address_of_this_machine():
    """Return a non-loopback address; skip the test if this machine has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # connecting a UDP socket sends no packet
        except OSError:
            pytest.skip("this machine has no network interface other than loopback")
        return probe.getsockname()[0]


def test_taskrouter_class_controls_a_remote_simulator():
    address = address_of_this_machine()
    with running(control_token=TOKEN, host="0.0.0.0") as simulator:  # noqa: S104
        url = f"http://{address}:{urlsplit(simulator.url).port}"
        remote = TaskRouter(url, control_token=TOKEN)
        remote.advance(5)
        assert remote.workers == simulator.workers
        assert status(TaskRouterUrl(url)) == 403


class TaskRouterUrl:
    def __init__(self, url):
        self.url = url


def test_empty_bearer_token_is_not_accepted():
    request = Request({"type": "http", "headers": [(b"authorization", b"Bearer ")]})
    assert not has_token(request, "")


@pytest.mark.parametrize("token", ["x" * 15, "x" * 15 + " ", "x" * 15 + "\n", "x" * 15 + "é"])
def test_token_that_is_too_short_or_has_invalid_characters_is_rejected_without_being_shown(token):
    with pytest.raises(SettingsError) as error:
        read({"control_token": token})
    assert str(error.value) == (
        "SIMULATOR_CONTROL_TOKEN must be at least 16 printable ASCII characters without spaces"
    )


def test_repr_of_settings_does_not_contain_the_token():
    settings = read({"control_token": TOKEN})
    assert TOKEN not in repr(settings)
    assert "port=8002" in repr(settings)


@pytest.mark.parametrize("token", ["", "x" * 16, "!~" * 8, "x" * 100])
def test_token_setting_may_be_empty_or_have_at_least_16_printable_characters(token):
    assert read({"control_token": token}).control_token == token
