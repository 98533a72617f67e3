"""The deploy command skips an unchanged stage unless its last smoke test failed."""

import contextlib
from types import SimpleNamespace

import pytest

from infra import OperatorError
from infra.aws import api_settings, chalice_record, fingerprint, live_resources, lock, stacks
from infra.commands import deploy as command
from tests.infra.command_line import run_infra

URL = "https://own.execute-api.eu-west-1.amazonaws.com/dev"


@pytest.fixture
def account(monkeypatch):
    """An account in which the names of the executed steps are recorded."""
    account = SimpleNamespace(
        account="1" * 12, region="eu-west-1", steps=[], fingerprint=None, fails=False
    )
    stage = account.stage = SimpleNamespace(name="dev", domain=None)
    stage.settings = SimpleNamespace(public_base_url="", callback_prefixes=("",))
    fakes = {
        (command, "_read_deployable"): lambda _name: stage,
        (command, "connect"): lambda: account,
        (command, "ensure_secrets_exist"): lambda *_: None,
        (command, "smoke_test"): lambda *_: check(account),
        (live_resources, "ensure_same_region"): lambda *_: None,
        (live_resources, "invoke_url"): lambda *_: URL,
        (lock, "acquire"): lambda *_, **__: held_lock(account),
        (stacks, "outputs"): lambda *_: {"Deployments": "bucket"},
        (stacks, "create_or_update"): lambda *_: {"Deployments": "bucket"},
        (chalice_record, "find_api_id"): lambda *_: "own",
        (chalice_record, "rebuild_record"): lambda *_, **__: True,
        (chalice_record, "run_chalice"): lambda *_: account.steps.append("deploy"),
        (chalice_record, "upload"): lambda *_: "own",
        (api_settings, "apply"): lambda *_: None,
        (fingerprint, "compute"): lambda _stage: "current",
        (fingerprint, "is_deployed"): lambda *_: account.fingerprint == "current",
        (fingerprint, "store"): lambda *_: store(account),
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


def store(account):
    account.steps.append("store")
    account.fingerprint = "current"


def check(account):
    account.steps.append("check")
    if account.fails:
        raise OperatorError("The smoke test failed.")


def deploy(account, *options):
    account.steps.clear()
    return run_infra("deploy", "--stage", "dev", *options)


def test_unchanged_stage_is_not_deployed_again(account):
    assert deploy(account).stdout == f"{URL}/assignment_callback\n"
    assert account.steps == ["deploy", "store", "check", "release lock"]

    assert "Nothing has changed." in deploy(account).stderr
    assert account.steps == ["check", "release lock"]


def test_stage_is_deployed_again_after_a_failed_smoke_test(account):
    account.fails = True
    assert deploy(account).returncode == 1
    account.fails = False

    assert deploy(account).returncode == 0
    assert account.steps == ["deploy", "store", "check", "release lock"]


def test_unchanged_stage_that_fails_the_smoke_test_is_deployed_again(account):
    deploy(account, "--no-check")
    account.fails = True
    completed = deploy(account)
    assert (completed.returncode, account.steps) == (1, ["check", "release lock"])
    account.fails = False

    assert "Nothing has changed." not in deploy(account).stderr
    assert "deploy" in account.steps


def test_fingerprint_is_stored_if_the_smoke_test_is_skipped(account):
    assert deploy(account, "--no-check").returncode == 0
    assert account.steps == ["deploy", "store", "release lock"]

    deploy(account, "--no-check")
    assert account.steps == ["release lock"]


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_printed_url_hides_the_secret_segment(account, options):
    account.stage.settings.callback_prefixes = ("/first-secret_0123456", "")

    completed = deploy(account, *options)

    assert f"{URL}/***/assignment_callback" in completed.stdout
    assert "first-secret" not in completed.stdout + completed.stderr
