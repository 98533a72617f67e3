"""The `token` command prints a signed token, and reports errors without a traceback."""

import time

import jwt
import pytest

from chalicelib import config
from infra.aws import stage_config
from local import network
from tests.infra.command_line import run_infra

ALICE = "WK" + "a" * 32


@pytest.fixture(scope="module")
def settings():
    return config.load(stage_config.environment("local", {}))


def run(*arguments, **environ):
    return run_infra("token", *arguments, **environ)


def decode(settings, printed):
    assert printed.count("\n") == 1
    return jwt.decode(
        printed.strip(),
        settings.twilio_api_key_secret,
        algorithms=["HS256"],
        issuer=settings.twilio_api_key_sid,
    )


def test_supervisor_token_is_signed_with_the_key_of_the_stage_and_valid_for_eight_hours(settings):
    result = run("--role", "supervisor")

    claims = decode(settings, result.stdout)
    assert claims["sub"] == settings.twilio_account_sid
    assert claims["grants"]["task_router"] == {
        "workspace_sid": settings.twilio_workspace_sid,
        "role": "supervisor",
    }
    assert claims["exp"] - time.time() == pytest.approx(8 * 3600, abs=60)


def test_worker_token_contains_the_worker_and_the_requested_lifetime(settings):
    result = run("--role", "worker", "--worker", ALICE, "--hours", "0.5")

    claims = decode(settings, result.stdout)
    assert claims["grants"]["task_router"]["worker_sid"] == ALICE
    assert claims["exp"] - time.time() == pytest.approx(1800, abs=60)


@pytest.mark.parametrize(("max_seconds", "expected"), [("600", 600), ("86400", 8 * 3600)])
def test_default_lifetime_does_not_exceed_the_max_token_seconds_setting(
    settings, max_seconds, expected
):
    claims = decode(settings, run("--role", "service", MAX_TOKEN_SECONDS=max_seconds).stdout)
    assert claims["exp"] - time.time() == pytest.approx(expected, abs=60)


@pytest.mark.parametrize(
    ("arguments", "environ", "message"),
    [
        (["--role", "worker"], {}, "A worker token needs --worker"),
        (
            ["--role", "service", "--hours", "25"],
            {},
            "The lifetime must be a number of hours greater than 0 and at most 24.",
        ),
        (["--role", "service", "--hours", "0"], {}, "The lifetime must be a number of hours"),
        (["--role", "service", "--hours", "x"], {}, "The lifetime must be a number of hours"),
        (["--role", "service", "--hours", "nan"], {}, "The lifetime must be a number of hours"),
        (["--role", "service", "--worker", ALICE], {}, "A service token has no Worker. Omit"),
        (["--role", "supervisor", "--worker", "Alice"], {}, "A supervisor token has no Worker."),
        (
            ["--role", "service", "--hours", "1.1"],
            {"MAX_TOKEN_SECONDS": "3600"},
            "--hours must be at most 1, because MAX_TOKEN_SECONDS is 3600 in stage local.",
        ),
        (
            ["--role", "service", "--hours", "0.0166667"],
            {"MAX_TOKEN_SECONDS": "60"},
            "--hours must be at most 0.0166, because MAX_TOKEN_SECONDS is 60 in stage local.",
        ),
        (
            ["--role", "service"],
            {"MAX_TOKEN_SECONDS": "86401"},
            "MAX_TOKEN_SECONDS must be a whole",
        ),
        (["--role", "admin"], {}, "'admin' is not one of"),
        (["--role", "service", "--stage", "missing"], {}, "There is no stage 'missing'"),
        (["--role", "service"], {"TWILIO_API_KEY_SID": "invalid"}, "TWILIO_API_KEY_SID must be SK"),
    ],
)
def test_errors_are_reported_without_a_traceback(arguments, environ, message):
    result = run(*arguments, **environ)

    assert result.returncode != 0
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not result.stdout


def test_worker_is_found_only_by_exact_name(taskrouter, settings):
    found = run("--role", "worker", "--worker", "Alice", TWILIO_TASKROUTER_URL=taskrouter.url)
    not_found = run("--role", "worker", "--worker", "Ali", TWILIO_TASKROUTER_URL=taskrouter.url)

    grant = decode(settings, found.stdout)["grants"]["task_router"]
    assert grant["worker_sid"] == taskrouter.workers["Alice"]
    assert not_found.returncode == 1
    assert not_found.stderr == "Error: The Workspace has no Worker named 'Ali'.\n"


def test_worker_is_looked_up_at_the_configured_port_of_the_simulator(taskrouter, settings):
    port = taskrouter.url.rpartition(":")[2]

    found = run("--role", "worker", "--worker", "Alice", API_PORT="8150", SIMULATOR_PORT=port)

    grant = decode(settings, found.stdout)["grants"]["task_router"]
    assert grant["worker_sid"] == taskrouter.workers["Alice"]


def test_refused_api_key_is_reported(taskrouter):
    environ = {"TWILIO_TASKROUTER_URL": taskrouter.url, "TWILIO_API_KEY_SECRET": "wrong"}

    result = run("--role", "worker", "--worker", "Alice", **environ)

    assert result.returncode == 1
    assert "The SID of the Worker 'Alice' can't be looked up, so pass the SID" in result.stderr
    assert "Twilio refused the API key SK" in result.stderr
    assert "Traceback" not in result.stderr


def test_unreachable_taskrouter_is_reported():
    (port,) = network.find_free_ports(1)
    url = f"http://127.0.0.1:{port}"

    result = run("--role", "worker", "--worker", "Alice", TWILIO_TASKROUTER_URL=url)

    assert result.returncode == 1
    assert "The SID of the Worker 'Alice' can't be looked up, so pass the SID" in result.stderr
    assert f"TaskRouter at {url} can't be reached: connection refused." in result.stderr
    assert "make services" in result.stderr
    assert "Traceback" not in result.stderr
