import socket

import pytest

from chalicelib.config import SettingsError
from local import network, stack
from taskrouter_simulator import settings as simulator


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


def test_ports_and_simulator_credentials_in_the_shell_do_not_conflict():
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


def test_empty_variable_means_the_default():
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

    assert described.port("SIMULATOR_PORT") == simulator.Settings().port
    assert described.api_url == simulator.Settings().callback_base_url


@pytest.mark.parametrize(
    ("secrets", "path"),
    [
        ("", "/assignment_callback"),
        ("open,first-secret_0123456", "/assignment_callback"),
        ("first-secret_0123456,open", "/first-secret_0123456/assignment_callback"),
    ],
)
def test_simulator_posts_callbacks_to_the_first_path(secrets, path):
    described = stack.describe({"CALLBACK_PATH_SECRETS": secrets})

    assert described.environ["SIMULATOR_ASSIGNMENT_PATH"] == path
