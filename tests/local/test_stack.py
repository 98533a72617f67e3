import re
import socket
from collections import defaultdict
from dataclasses import fields

import jwt
import pytest

from app import app
from chalicelib.config import SettingsError
from chalicelib.routes.callbacks import move_twilio_routes, twilio_routes
from local import network, run, stack
from local.demo import http_client
from taskrouter_simulator import seed, setting_values
from taskrouter_simulator.clock import Clock
from taskrouter_simulator.definition.reader import quickstart
from taskrouter_simulator.engine import start
from taskrouter_simulator.settings import Settings
from taskrouter_simulator.testing import running


def test_addresses_are_derived_from_the_ports():
    local_stack = stack.describe(
        {"API_PORT": "9000", "DYNAMODB_PORT": "9001", "SIMULATOR_PORT": "9002"}
    )

    assert local_stack.settings.public_base_url == "http://127.0.0.1:9000"
    assert local_stack.environ["SIMULATOR_CALLBACK_BASE_URL"] == "http://127.0.0.1:9000"
    assert local_stack.environ["AWS_ENDPOINT_URL_DYNAMODB"] == "http://127.0.0.1:9001"
    assert local_stack.settings.twilio_taskrouter_url == "http://127.0.0.1:9002"


def test_shell_variables_override_the_settings_of_the_stack():
    local_stack = stack.describe(
        {
            "API_PORT": "9000",
            "ASSIGNMENT_INSTRUCTION": "accept",
            "PUBLIC_BASE_URL": "https://example.org/api",
            "RESERVATION_TIMEOUT_SECONDS": "60",
        }
    )

    assert local_stack.settings.assignment_instruction == "accept"
    assert local_stack.settings.public_base_url == "https://example.org/api"
    assert local_stack.environ["SIMULATOR_CALLBACK_BASE_URL"] == "https://example.org/api"
    assert local_stack.environ["SIMULATOR_RESERVATION_TIMEOUT"] == "60"


def test_simulator_allows_the_host_of_the_public_url_and_the_listed_hosts():
    environ = {
        "PUBLIC_BASE_URL": "https://tunnel.example.org/api",
        "SIMULATOR_ALLOWED_HOSTS": "Host.docker.internal, b.test",
    }

    allowed = stack.describe(environ).environ["SIMULATOR_ALLOWED_HOSTS"]

    assert allowed == "b.test,host.docker.internal,tunnel.example.org"


def test_twilio_account_in_the_shell_is_reported_as_a_conflict():
    account = "AC" + "1" * 32
    environ = {"TWILIO_ACCOUNT_SID": account, "TWILIO_AUTH_TOKEN": "secret", "API_PORT": "9000"}

    local_stack = stack.describe(environ)

    assert local_stack.settings.twilio_account_sid == account
    conflicts = stack.conflicting_variables(local_stack, environ)
    assert sorted(conflicts) == ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"]


def test_ports_and_the_simulator_account_in_the_shell_are_not_reported_as_conflicts():
    default = stack.describe({})
    environ = {"TWILIO_ACCOUNT_SID": default.settings.twilio_account_sid, "SIMULATOR_PORT": "9002"}

    assert stack.conflicting_variables(stack.describe(environ), environ) == []


def test_loopback_requests_bypass_a_proxy_set_in_the_shell():
    environ = stack.describe({"HTTP_PROXY": "http://proxy:3128", "no_proxy": "corp"}).environ

    assert environ["no_proxy"] == environ["NO_PROXY"] == "corp,127.0.0.1,localhost"


@pytest.mark.parametrize("port", ["0", "65536", "80a", "-1", "٣", "010", "08002"])
def test_error_for_an_invalid_port_names_the_variable(port):
    with pytest.raises(stack.StackError, match="SIMULATOR_PORT must be a port from 1 to 65535"):
        stack.describe({"SIMULATOR_PORT": port})


def test_empty_variable_selects_the_default():
    variables = ("SIMULATOR_PORT", "PUBLIC_BASE_URL", "AWS_DEFAULT_REGION")

    emptied = stack.describe(dict.fromkeys(variables, ""))

    assert emptied.resolved == stack.describe({}).resolved


def test_equal_ports_are_rejected():
    with pytest.raises(stack.StackError) as caught:
        stack.describe({"SIMULATOR_PORT": "8000"})

    assert str(caught.value) == (
        "These variables must set different ports: "
        "API_PORT=8000, DYNAMODB_PORT=8001, SIMULATOR_PORT=8000."
    )


def test_error_for_an_invalid_setting_names_the_setting():
    with pytest.raises(SettingsError, match="ASSIGNMENT_INSTRUCTION must be one of"):
        stack.describe({"ASSIGNMENT_INSTRUCTION": "perhaps"})


def test_error_for_a_port_in_use_names_the_program_and_the_variable():
    free_ports = [str(port) for port in network.find_free_ports(2)]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port_in_use = server.getsockname()[1]
        environ = dict(zip(stack.PORTS, [*free_ports, str(port_in_use)], strict=True))

        with pytest.raises(stack.StackError) as caught:
            stack.check_ports_are_free(stack.describe(environ))

        stack.check_ports_are_free(stack.describe(environ), "api", "dynamodb")
    assert str(caught.value) == (
        f"simulator can't listen on port {port_in_use} (Address already in use). Stop the program "
        "that uses the port, or set SIMULATOR_PORT to another port."
    )


def test_default_ports_match_the_defaults_of_the_simulator():
    described = stack.describe({})

    assert described.port("SIMULATOR_PORT") == Settings().port
    assert described.api_url == Settings().callback_base_url


SECRET = "first-secret_0123456"
BASE_URLS = [
    ({}, "http://127.0.0.1:8000"),
    ({"API_PORT": "9000"}, "http://127.0.0.1:9000"),
    ({"PUBLIC_BASE_URL": "https://calls.example/api/"}, "https://calls.example/api"),
    ({"SIMULATOR_CALLBACK_BASE_URL": "http://localhost:8000/"}, "http://localhost:8000"),
    ({"SIMULATOR_CALLBACK_BASE_URL": ""}, "http://127.0.0.1:8000"),
]


def simulator_settings(environ):
    """Return the simulator's settings in the stack described by an environment."""
    described = stack.describe(environ).environ
    names = [field.name for field in fields(Settings)]
    return setting_values.read(
        {name: setting_values.from_environment(name, described) for name in names}
    )


@pytest.fixture
def served_paths(monkeypatch):
    """A function that returns the paths that the app serves in a given environment."""

    def serve(environ):
        with monkeypatch.context() as patch:
            routes = defaultdict(dict, {path: dict(item) for path, item in app.routes.items()})
            patch.setattr(app, "routes", routes)
            patch.setattr(app, "middleware_handlers", [])
            move_twilio_routes(app, stack.describe(environ).settings.callback_prefixes)
            return set(app.routes)

    return serve


@pytest.mark.parametrize("secrets", ["", "open", SECRET, f"open,{SECRET}", f"{SECRET},open"])
@pytest.mark.parametrize(("variables", "base_url"), BASE_URLS)
def test_simulator_calls_every_twilio_route_at_a_path_that_the_app_serves(
    served_paths, secrets, variables, base_url
):
    environ = {"CALLBACK_PATH_SECRETS": secrets, **variables}
    prefix = f"/{SECRET}" if secrets.startswith(SECRET) else ""

    settings = simulator_settings(environ)

    for path, _ in twilio_routes(app):
        assert settings.url(path) == f"{base_url}{prefix}{path}"
        assert prefix + path in served_paths(environ)


def test_simulated_workspace_calls_only_paths_under_the_prefix(served_paths):
    environ = {"CALLBACK_PATH_SECRETS": SECRET, **stack.OPTIONAL_CALLBACKS}
    settings = simulator_settings(environ)
    paths = {
        getattr(settings, field.name) for field in fields(settings) if field.name.endswith("_path")
    }
    engine = start(settings, Clock(lambda: 0.0), lambda _effect: None)
    workspace = seed.load(engine, seed.default_definition())
    (workflow,) = workspace.workflows.values()
    urls = {
        workspace.event_callback_url,
        workflow.assignment_callback_url,
        workflow.fallback_assignment_callback_url,
        settings.url(settings.voice_path),
    }

    assert urls == {f"http://127.0.0.1:8000/{SECRET}{path}" for path in paths}
    assert {f"/{SECRET}{path}" for path in paths} <= served_paths(environ)


def test_quickstart_callbacks_match_those_of_the_local_stack(served_paths):
    definition = quickstart()
    (workflow,) = definition.workflows
    settings = simulator_settings(stack.OPTIONAL_CALLBACKS)
    urls = {
        workflow.assignment_callback_url: settings.assignment_path,
        workflow.fallback_assignment_callback_url: settings.fallback_path,
        definition.event_callback_url: settings.event_path,
    }
    assert urls == {f"${{api}}{path}": path for path in urls.values()}
    assert set(urls.values()) <= served_paths({})
    assert workflow.task_reservation_timeout == settings.reservation_timeout


def test_programs_of_the_stack_derive_the_same_callback_base_url():
    described = stack.describe({"CALLBACK_PATH_SECRETS": SECRET})

    program_environ = stack.describe(described.environ).environ
    name = "SIMULATOR_CALLBACK_BASE_URL"
    assert program_environ[name] == described.environ[name]


def test_printed_commands_and_urls_do_not_contain_the_secret():
    described = stack.describe({"CALLBACK_PATH_SECRETS": f"{SECRET},open"})

    printed = run.services_greeting(described) + stack.services_command(described)

    assert SECRET not in printed
    assert "posts its callbacks to http://127.0.0.1:8000/***. " in printed
    assert printed.count("CALLBACK_PATH_SECRETS=*** ") == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (86_400, "8 hours"),
        (3_600, "1 hour"),
        (7_200, "2 hours"),
        (5_400, "90 minutes"),
        (60, "1 minute"),
        (90, "90 seconds"),
        (1, "1 second"),
    ],
)
def test_greeting_states_the_lifetime_of_the_token(monkeypatch, seconds, text):
    identifiers = http_client.fetch_identifiers
    described = stack.describe({"MAX_TOKEN_SECONDS": str(seconds)})
    with running() as simulated:
        monkeypatch.setattr(http_client, "fetch_identifiers", lambda _: identifiers(simulated.url))

        assert f"which is valid for {text}, and" in run.greeting(described)


def test_greeting_has_links_that_sign_alice_and_a_supervisor_in(monkeypatch):
    identifiers = http_client.fetch_identifiers
    described = stack.describe({"API_PORT": "8123"})
    with running() as simulated:
        monkeypatch.setattr(http_client, "fetch_identifiers", lambda _: identifiers(simulated.url))
        greeting = run.greeting(described)

    links = re.findall(
        r"^  (\w+) +http://127\.0\.0\.1:8123/console#token=(\S+)$", greeting, re.MULTILINE
    )
    grants = {
        name: jwt.decode(token, options={"verify_signature": False})["grants"]["task_router"]
        for name, token in links
    }
    assert grants["Alice"]["worker_sid"] == simulated.workers["Alice"]
    assert {name: grant["role"] for name, grant in grants.items()} == {
        "Alice": "worker",
        "Supervisor": "supervisor",
    }
