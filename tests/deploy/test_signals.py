"""A signal ends a deployment or removal at any step, and a second run completes the operation."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from local.supervisor import ROOT
from tests.deploy import aws_proxy
from tests.deploy.conftest import STAGE
from tests.deploy.test_deploy import put_secrets
from tests.e2e.live_stack import eventually, find_processes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STATE_TABLE = f"taskrouter-callbacks-{STAGE}-state"
DEPLOY, DESTROY = ("deploy", "--no-check"), ("destroy", "--data", "--yes")
RECORD = rf"/\S+/deployed/{STAGE}\.json"
FINGERPRINT = rf"/\S+/deployed/{STAGE}\.fingerprint\.json"

# Pairs of requests: one from a deployment, and one from a removal. A signal is sent just before
# each request reaches the emulator. Chalice sends the requests about functions, roles, rules and
# APIs, except those about gateway responses.
MOMENTS = [
    ("PutItem", "PutItem"),
    ("CreateStack", rf"GET {RECORD}"),
    ("UpdateStack", "DELETE /restapis/"),
    (rf"DELETE {FINGERPRINT}", "DeleteRule"),
    ("CreateRole", "DELETE /2015-03-31/functions/"),
    ("POST /2015-03-31/functions", "DeleteRole$"),
    (r"POST /restapis\?mode=import", rf"DELETE {FINGERPRINT}"),
    (r"POST /restapis/\w+/deployments", "DeleteStack"),
    (rf"PUT {RECORD}", "DeleteTable"),
    (r"PUT /restapis/\w+/gatewayresponses/THROTTLED", "DeleteParameter"),
    (rf"PUT {FINGERPRINT}", "DeleteItem"),
]


@pytest.fixture
def proxy(aws, checkout, secrets):
    """A proxy between the commands and the emulator."""
    put_secrets(checkout, secrets)
    with aws_proxy.serving(aws.url) as proxy:
        checkout.aws = replace(aws, url=proxy.url)
        yield proxy


def interrupt(checkout, proxy, moment, command, send):
    """Run a command, and call *send* with its process ID before a request matching *moment*."""
    process = subprocess.Popen(
        command,
        cwd=checkout.folder,
        env=os.environ | checkout.aws.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    proxy.call_before(moment, lambda: send(process.pid))
    output, errors = process.communicate(timeout=300)
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def terminate(pid):
    os.kill(pid, signal.SIGTERM)


def infra(command, *options):
    return [sys.executable, "-m", "infra", command, "--stage", STAGE, *options]


def assert_ended(interrupted, number=signal.SIGTERM):
    assert interrupted.returncode == 128 + number, interrupted.stderr
    message = f"{number.name} ended the command. Run the same command again to finish."
    assert interrupted.stderr.splitlines()[-1] == message


def assert_nothing_is_left(aws, proxy):
    """Check that no process of the command is running, and that the stage is not locked."""
    assert eventually(lambda: not find_processes("AWS_ENDPOINT_URL", proxy.url))
    dynamodb = aws.client("dynamodb")
    if STATE_TABLE in dynamodb.list_tables()["TableNames"]:
        lock = dynamodb.get_item(TableName=STATE_TABLE, Key={"id": {"S": "deploying"}})
        assert "Item" not in lock


def api_ids(aws):
    return [api["id"] for api in aws.client("apigateway").get_rest_apis()["items"]]


@pytest.mark.parametrize(("deploying", "removing"), MOMENTS)
def test_terminated_command_is_finished_by_a_second_run(aws, checkout, proxy, deploying, removing):
    assert_ended(interrupt(checkout, proxy, deploying, infra(*DEPLOY), terminate))
    assert_nothing_is_left(aws, proxy)
    created = api_ids(aws)

    checkout.infra(DEPLOY[0], "--stage", STAGE, *DEPLOY[1:])
    (api_id,) = api_ids(aws)
    assert created in ([], [api_id])
    assert "Nothing has changed." in checkout.run(*infra(*DEPLOY)[3:]).stderr

    assert_ended(interrupt(checkout, proxy, removing, infra(*DESTROY), terminate))
    assert_nothing_is_left(aws, proxy)

    checkout.infra(DESTROY[0], "--stage", STAGE, *DESTROY[1:])
    assert aws.list_resources() == {}


def make(target):
    """Return the command that runs a target with the installed requirements of this project."""
    return [
        "make",
        f"--file={ROOT / 'Makefile'}",
        "--old-file=.venv/.requirements-deploy",
        f"BIN={Path(sys.executable).parent}",
        target,
        f"STAGE={STAGE}",
    ]


@pytest.mark.parametrize(
    ("send", "number"),
    [
        (os.kill, signal.SIGTERM),
        (os.killpg, signal.SIGTERM),
        (os.killpg, signal.SIGHUP),
        (os.killpg, signal.SIGINT),
    ],
)
def test_signal_to_make_or_its_process_group_ends_the_deployment(
    aws, checkout, proxy, send, number
):
    def send_signal(pid):
        send(pid, number)

    interrupted = interrupt(
        checkout, proxy, "POST /2015-03-31/functions", make("deploy"), send_signal
    )

    assert interrupted.returncode != 0
    assert f"{number.name} ended the command." in interrupted.stderr
    assert "Traceback" not in interrupted.stderr
    assert_nothing_is_left(aws, proxy)


@pytest.mark.parametrize("kill", [os.kill, os.killpg])
def test_killed_deployment_stops_and_leaves_a_lock_with_its_host_name(aws, checkout, proxy, kill):
    interrupted = interrupt(
        checkout,
        proxy,
        "POST /2015-03-31/functions",
        infra(*DEPLOY),
        lambda pid: kill(pid, signal.SIGKILL),
    )
    assert interrupted.returncode == -signal.SIGKILL
    assert eventually(lambda: not find_processes("AWS_ENDPOINT_URL", proxy.url))
    assert api_ids(aws) == []

    failed = checkout.run(*infra(*DEPLOY)[3:])

    assert failed.returncode == 1
    assert f"at {os.uname().nodename}. Wait until that command finishes." in failed.stderr
    checkout.infra(DEPLOY[0], "--stage", STAGE, *DEPLOY[1:], "--break-lock")
