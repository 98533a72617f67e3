"""The deploy command deploys an unchanged stage again only if its last smoke test failed."""

import contextlib
import json
from types import SimpleNamespace

import pytest

from infra import OperatorError
from infra.aws import (
    api_settings,
    capacity,
    chalice_record,
    fingerprint,
    live_resources,
    lock,
    stacks,
)
from infra.commands import connection, setup
from infra.commands import deploy as command
from infra.commands.status import UnreachableError
from tests.infra.command_line import run_infra

URL = "https://own.execute-api.eu-west-1.amazonaws.com/dev"


@pytest.fixture
def account(monkeypatch):
    """A fake account that records the names of the executed steps."""
    account = SimpleNamespace(
        account="1" * 12,
        region="eu-west-1",
        steps=[],
        fingerprint=None,
        failure=None,
        concurrency=1_000,
    )
    stage = account.stage = SimpleNamespace(
        name="dev", domain=None, reserved_concurrency=None, workspace_file=None
    )
    stage.settings = SimpleNamespace(
        public_base_url="",
        callback_prefixes=("",),
        tutorial_routes=False,
        console_agents=150,
        oidc_issuer="",
    )
    fakes = {
        (command, "_read_deployable"): lambda *_, **__: stage,
        (command, "connect_to_stage"): lambda *_: account,
        (command, "smoke_test"): lambda *_: check(account),
        (live_resources, "invoke_url"): lambda *_: URL,
        (lock, "acquire"): lambda *_, **__: held_lock(account),
        (setup, "complete"): lambda *_: (stage, None),
        (connection, "set_callback_urls"): lambda *_: None,
        (connection, "subscribe_to_alarms"): lambda *_, **__: None,
        (stacks, "outputs"): lambda *_: {"Deployments": "bucket", "AlarmTopic": "topic"},
        (stacks, "create_or_update"): lambda *_: {"Deployments": "bucket"},
        (chalice_record, "find_api_id"): lambda *_: "own",
        (chalice_record, "rebuild_record"): lambda *_, **__: True,
        (chalice_record, "run_chalice"): lambda *_: account.steps.append("deploy"),
        (chalice_record, "upload"): lambda *_: "own",
        (api_settings, "apply"): lambda *_: None,
        (api_settings, "ensure_access_logs_possible"): lambda *_: None,
        (capacity, "read_concurrency"): lambda *_: account.concurrency,
        (fingerprint, "is_first_run"): lambda *_: False,
        (fingerprint, "compute"): lambda _stage, concurrency: f"current, {concurrency}",
        (fingerprint, "is_deployed"): lambda *arguments: account.fingerprint in arguments,
        (fingerprint, "store"): lambda *arguments: store(account, arguments[3]),
        (fingerprint, "remove"): lambda *_: setattr(account, "fingerprint", None),
    }
    for (module, name), fake in fakes.items():
        monkeypatch.setattr(module, name, fake)
    return account


@contextlib.contextmanager
def held_lock(account):
    try:
        yield lambda: None
    finally:
        account.steps.append("release lock")


def store(account, computed):
    account.steps.append("store")
    account.fingerprint = computed


def check(account):
    account.steps.append("check")
    if account.failure:
        raise account.failure


def deploy(account, *options):
    account.steps.clear()
    return run_infra("deploy", "--stage", "dev", *options)


def test_unchanged_stage_is_not_deployed_again(account):
    assert deploy(account).stdout == f"{URL}/assignment_callback\n"
    assert account.steps == ["deploy", "store", "check", "release lock"]

    assert "Nothing has changed." in deploy(account).stderr
    assert account.steps == ["check", "release lock"]


def test_stage_is_deployed_again_after_a_failed_smoke_test(account):
    account.failure = OperatorError("The smoke test failed.")
    assert deploy(account).returncode == 1
    account.failure = None

    assert deploy(account).returncode == 0
    assert account.steps == ["deploy", "store", "check", "release lock"]


def test_unchanged_stage_that_fails_the_smoke_test_is_deployed_by_the_next_run(account):
    deploy(account, "--no-check")
    account.failure = OperatorError("The smoke test failed.")
    completed = deploy(account)
    assert (completed.returncode, account.steps) == (1, ["check", "release lock"])
    account.failure = None

    assert "Nothing has changed." not in deploy(account).stderr
    assert "deploy" in account.steps


def test_url_that_this_machine_cannot_reach_causes_only_a_warning(account):
    account.failure = UnreachableError(f"{URL} can't be reached from this machine (ProxyError).")

    completed = deploy(account, "--json")

    assert completed.returncode == 0
    assert json.loads(completed.stdout)["url"] == URL
    assert f"Warning: the stage is deployed, but {URL} can't be reached" in completed.stderr
    assert "Nothing has changed." in deploy(account).stderr


def test_fingerprint_is_stored_if_the_smoke_test_is_skipped(account):
    assert deploy(account, "--no-check").returncode == 0
    assert account.steps == ["deploy", "store", "release lock"]

    deploy(account, "--no-check")
    assert account.steps == ["release lock"]


def test_changed_account_limit_causes_a_deployment_and_a_low_limit_is_reported(account):
    assert "concurrent executions" not in deploy(account).stderr
    account.concurrency = 10

    (hint,) = [line for line in deploy(account).stderr.splitlines() if "L-B99A9384" in line]

    assert hint.startswith(
        "Functions without reserved concurrency share only 10 concurrent executions in account "
        "111111111111"
    )
    assert "accept requests to 0.16 with bursts of 1" in hint
    assert "deploy" in account.steps
    deploy(account)
    assert "deploy" not in account.steps


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_printed_url_hides_the_secret_segment(account, options):
    account.stage.settings.callback_prefixes = ("/first-secret_0123456", "")

    completed = deploy(account, *options)

    assert f"{URL}/***/assignment_callback" in completed.stdout
    assert "first-secret" not in completed.stdout + completed.stderr
