import socket

import pytest

from chalicelib.config import SettingsError
from local import network, stack


def test_addresses_follow_the_ports():
    described = stack.describe(
        {"API_PORT": "9000", "DYNAMODB_PORT": "9001", "SIMULATOR_PORT": "9002"}
    )

    assert described.settings.public_base_url == "http://127.0.0.1:9000"
    assert described.environ["SIMULATOR_CALLBACK_BASE_URL"] == "http://127.0.0.1:9000"
    assert described.environ["AWS_ENDPOINT_URL_DYNAMODB"] == "http://127.0.0.1:9001"
    assert described.settings.twilio_taskrouter_url == "http://127.0.0.1:9002"


def test_what_the_shell_sets_wins():
    described = stack.describe(
        {
            "API_PORT": "9000",
            "ASSIGNMENT_INSTRUCTION": "accept",
            "PUBLIC_BASE_URL": "https://example.org/api",
            "RESERVATION_TIMEOUT_SECONDS": "60",
        }
    )

    assert described.settings.assignment_instruction == "accept"
    assert described.settings.public_base_url == "https://example.org/api"
    assert described.environ["SIMULATOR_CALLBACK_BASE_URL"] == "https://example.org/api"
    assert described.environ["SIMULATOR_RESERVATION_TIMEOUT"] == "60"


def test_the_shells_own_twilio_account_is_noticed():
    account = "AC" + "1" * 32
    environ = {"TWILIO_ACCOUNT_SID": account, "TWILIO_AUTH_TOKEN": "secret", "API_PORT": "9000"}

    described = stack.describe(environ)

    assert described.settings.twilio_account_sid == account
    noticed = stack.diverted(described, environ)
    assert sorted(noticed) == ["TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"]


def test_ports_and_the_simulators_own_values_in_the_shell_are_nothing_to_notice():
    plain = stack.describe({})
    environ = {"TWILIO_ACCOUNT_SID": plain.settings.twilio_account_sid, "SIMULATOR_PORT": "9002"}

    assert stack.diverted(stack.describe(environ), environ) == []


def test_a_proxy_in_the_shell_is_not_asked_for_loopback():
    environ = stack.describe({"HTTP_PROXY": "http://proxy:3128", "no_proxy": "corp"}).environ

    assert environ["no_proxy"] == environ["NO_PROXY"] == "corp,127.0.0.1,localhost"


@pytest.mark.parametrize("port", ["", "0", "65536", "80a", "-1", "٣"])
def test_what_is_no_port_is_refused_by_name(port):
    with pytest.raises(stack.StackError, match="SIMULATOR_PORT must be a port"):
        stack.describe({"SIMULATOR_PORT": port})


def test_two_programs_on_one_port_are_refused():
    with pytest.raises(stack.StackError, match="must be different ports"):
        stack.describe({"SIMULATOR_PORT": "8000"})


def test_a_setting_that_makes_no_sense_is_refused_by_name():
    with pytest.raises(SettingsError, match="ASSIGNMENT_INSTRUCTION must be one of"):
        stack.describe({"ASSIGNMENT_INSTRUCTION": "perhaps"})


def test_a_taken_port_is_refused_with_who_needs_it_and_what_moves_it():
    numbers = [str(n) for n in network.find_free(2)]
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        environ = dict(zip(stack.DEFAULT_PORTS, [*numbers, str(taken)], strict=True))

        with pytest.raises(stack.StackError) as refusal:
            stack.refuse_taken_ports(stack.describe(environ))

        stack.refuse_taken_ports(stack.describe(environ), "api", "dynamodb")
    assert str(refusal.value) == (
        f"Port {taken} is in use, and simulator needs it: end what listens there, or set "
        "SIMULATOR_PORT to another port."
    )
