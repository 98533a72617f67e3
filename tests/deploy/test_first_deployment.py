"""One command deploys a new stage and waits for the first callback, with or without a terminal."""

import json
import os
import re
import shlex
import shutil
import sys

import boto3
import pytest

from tests.deploy import https_proxy
from tests.deploy.conftest import REGION, STAGE
from tests.deploy.contact_center import first_deployment_dialog, make_worker_available
from tests.deploy.test_unchanged import deployed_state
from tests.docs_runner import pages, terminal
from tests.infra.account import variables_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

DEPLOY = ["deploy", "--stage", STAGE]
COMMAND = shlex.join([sys.executable, "-m", "infra", *DEPLOY])
EMAIL = "you@example.com"
SPANISH = '{"selected_language": "es"}'


@pytest.fixture
def environ(aws, tmp_path, callbacks_to_emulator):
    """Environment variables with which commands reach the deployed API at its AWS host name."""
    with https_proxy.serving(aws.url, REGION, tmp_path) as environ:
        yield environ


def run_in_terminal(checkout, environ, command=COMMAND, answers=()):
    environ = os.environ | checkout.aws.environ | environ
    return terminal.run(command, folder=checkout.folder, environ=environ, answers=answers)


def find_documented(prefix):
    """Return the commands in docs/deploy.md that begin with *prefix*."""
    blocks = pages.read_blocks(pages.ROOT / "docs" / "deploy.md")
    commands = [command for block in blocks for command in pages.read_commands(block)]
    return [command for command in commands if command.text.startswith(prefix)]


def mask(transcript):
    """Omit progress messages, mask values that differ between runs, and return the lines."""
    for pattern in (
        r"(?<=\b[A-Z]{2})([0-9a-f]{32}|…)",
        r"\b\d{12}\b",
        r"(?<=https://)\w+(?=\.execute-api)",
        r"\b\d+(?= s\b)",
        r"(?<=python)3\.\d+",
    ):
        transcript = re.sub(pattern, "*", transcript)
    lines = [line.rstrip() for line in transcript.splitlines()]
    return [line for line in lines if not line.endswith(" ...")]


def written_state(aws, checkout, twilio):
    """Return all state that a deployment may write, and the requests that changed TaskRouter."""
    ssm = aws.client("ssm").get_parameters_by_path(Path="/", Recursive=True)["Parameters"]
    (topic,) = aws.client("sns").list_topics()["Topics"]
    subscriptions = aws.client("sns").list_subscriptions_by_topic(TopicArn=topic["TopicArn"])
    config = checkout.folder / ".chalice" / "config.json"
    return {
        **deployed_state(aws),
        "parameters": [(parameter["Name"], parameter["Version"]) for parameter in ssm],
        "subscribers": [item["Endpoint"] for item in subscriptions["Subscriptions"]],
        "config": (config.read_text(), config.stat().st_mtime_ns),
        "changes": [entry["path"] for entry in twilio.log("request") if entry["method"] != "GET"],
    }


def test_deployment_in_a_terminal_leads_to_the_first_callback(aws, new_checkout, twilio, environ):
    make_worker_available(twilio)

    dialog = first_deployment_dialog(twilio)
    status, transcript = run_in_terminal(new_checkout, environ, answers=dialog)

    assert status == 0, transcript + aws.log()
    (command,) = find_documented(f"make deploy STAGE={STAGE}")
    assert mask(transcript) == mask(command.output)
    assert "(Worker Alice) arrived. The answer was {}.\n" in transcript
    assert transcript.endswith(" is canceled.\n")
    for secret in (twilio.auth_token, twilio.api_key_secret):
        assert secret not in transcript
    before = written_state(aws, new_checkout, twilio)
    assert before["subscribers"] == [EMAIL]

    # The second run asks no questions and changes nothing.
    status, transcript = run_in_terminal(new_checkout, environ)
    assert status == 0, transcript
    assert transcript.splitlines()[1] == "Nothing has changed."
    assert "?" not in transcript
    assert written_state(aws, new_checkout, twilio) == before


def test_deployment_without_a_terminal_leads_to_the_first_callback(
    aws, new_checkout, twilio, environ
):
    make_worker_available(twilio)
    (command,) = find_documented(f"python -m infra deploy --stage {STAGE} --yes")
    exports = " ".join(export.text for export in find_documented("export TWILIO_"))
    assert set(re.findall(r"(\w+)=", exports)) == variables_of(twilio).keys()

    arguments = shlex.split(command.text)[3:]
    completed = new_checkout.run(*arguments, **environ, **variables_of(twilio))

    assert completed.returncode == 0, completed.stderr + aws.log()
    (url,) = mask(completed.stdout)
    lines = mask(command.output)
    lines.remove(url)
    assert mask(completed.stderr) == lines
    assert "(Worker Alice) arrived. The answer was {}.\n" in completed.stderr
    assert completed.stdout.endswith(f"/{STAGE}/assignment_callback\n")
    before = written_state(aws, new_checkout, twilio)
    assert before["subscribers"] == [EMAIL]

    # The second run changes nothing, whether or not the variables are set.
    for shell in (variables_of(twilio), {}):
        options = ["--yes", "--alarm-email", EMAIL]
        completed = new_checkout.run(*DEPLOY, *options, **environ, **shell)
        assert completed.returncode == 0, completed.stderr
        assert completed.stderr.splitlines()[1] == "Nothing has changed."
        assert written_state(aws, new_checkout, twilio) == before

    # A deployment after a removal creates an API with a different URL and updates the Workflow.
    old = assignment_callback_url(twilio)
    new_checkout.infra("destroy", "--stage", STAGE, "--yes")
    new_checkout.infra(*DEPLOY, "--yes", **environ)
    assert assignment_callback_url(twilio) != old


def test_stage_cannot_be_deployed_to_a_second_account(aws, new_checkout, twilio, environ):
    shell = environ | variables_of(twilio)
    new_checkout.infra(*DEPLOY, "--yes", **shell)
    url = assignment_callback_url(twilio)
    shutil.rmtree(new_checkout.folder / ".chalice" / "deployed")
    config = (new_checkout.folder / ".chalice" / "config.json").read_text()

    second_account = {"AWS_ACCESS_KEY_ID": "1" * 12}
    failed = new_checkout.run(*DEPLOY, "--yes", **shell | second_account)

    assert failed.returncode == 1
    base = url.removesuffix("/assignment_callback")
    error = f"Error: Stage {STAGE} is already deployed at {base}, in an account other than 1111"
    assert failed.stderr.splitlines()[-1].startswith(error)
    assert assignment_callback_url(twilio) == url
    assert (new_checkout.folder / ".chalice" / "config.json").read_text() == config
    account = boto3.Session(aws_access_key_id="1" * 12, aws_secret_access_key="emulated")
    for service, operation in (("ssm", "describe_parameters"), ("s3", "list_buckets")):
        client = account.client(service, endpoint_url=aws.url, region_name=REGION)
        assert not any(getattr(client, operation)().get(kind) for kind in ("Parameters", "Buckets"))


def assignment_callback_url(twilio):
    workspace = twilio.client().taskrouter.v1.workspaces(twilio.workspace_sid)
    return workspace.workflows(twilio.workflow_sid).fetch().assignment_callback_url


def test_error_code_of_a_rejected_callback_is_shown(checkout, twilio, environ):
    make_worker_available(twilio)
    api_keys = {twilio.api_key_sid: twilio.api_key_secret}
    secrets = json.dumps({"auth_tokens": ["wrong"], "api_keys": api_keys})
    checkout.infra("secrets", "put", "--stage", STAGE, "--stdin", "--no-verify", stdin=secrets)

    completed = checkout.run(*DEPLOY, "--yes", "--try-attributes", SPANISH, **environ)

    assert completed.returncode == 1
    lines = completed.stderr.splitlines()
    assert lines[-2].endswith(" is canceled.")
    error = "Error: The stage answered TaskRouter's callback with 403 InvalidSignature."
    assert lines[-1].startswith(error), lines


def exclude_all_workers(twilio):
    """Give each target of the Workflow an expression that no Worker matches."""
    workspace = twilio.client().taskrouter.v1.workspaces(twilio.workspace_sid)
    workflow = workspace.workflows(twilio.workflow_sid)
    configuration = json.loads(workflow.fetch().configuration)
    for item in configuration["task_routing"]["filters"]:
        for target in item["targets"]:
            target["expression"] = "worker.level > 99"
    workflow.update(configuration=json.dumps(configuration))


def test_ctrl_c_during_the_callback_test_cancels_the_task(aws, new_checkout, twilio, environ):
    make_worker_available(twilio)
    exclude_all_workers(twilio)  # so the command keeps waiting
    options = shlex.join(["--yes", "--try", "--try-attributes", SPANISH])

    status, transcript = run_in_terminal(
        new_checkout,
        environ | variables_of(twilio),
        f"{COMMAND} {options}",
        answers=[("has been created. Waiting up to 30 seconds", terminal.CTRL_C)],
    )

    assert status == 130
    assert " is canceled.\n" in transcript
    (task,) = twilio.client().taskrouter.v1.workspaces(twilio.workspace_sid).tasks.list()
    assert task.assignment_status == "canceled"
