"""The commands in deploy.md and operations.md succeed on an emulated AWS account."""

import json

import pytest

from tests.deploy import https_proxy
from tests.deploy.conftest import REGION, create_venv, settings_of, subscribe_to_alarms
from tests.deploy.contact_center import (
    eventually,
    first_deployment_dialog,
    make_worker_available,
    set_callback_urls,
)
from tests.deploy.test_deploy import callback_parameters, post_signed
from tests.docs_runner import checkout, pages
from tests.docs_runner.runner import Page
from tests.docs_runner.shell import Programs, Shell
from tests.infra.config_file import edit_config

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

AWS_CLI = "awscli==1.46.3"
RESERVATION = "WR" + "1" * 32
"""SID of the Reservation in `callback_parameters`."""

EXPECTED_CALLBACKS = 2
"""Number of callbacks for the Tasks that deploy.md creates: a test Task, and a Task to accept."""


AWS_SCRIPT = """#!{python}
import sys
import time

from awscli.clidriver import main

sleep = time.sleep
time.sleep = lambda seconds: sleep(min(seconds, 0.5))
sys.exit(main())
"""
"""A script that runs the AWS CLI and shortens its pauses to half a second.

The AWS CLI pauses for up to 30 seconds between two requests while it waits for a resource.
"""


@pytest.fixture(scope="session")
def aws_script(tmp_path_factory):
    """The text of a script that runs the AWS CLI from a separate virtual environment."""
    folder = tmp_path_factory.mktemp("aws-cli") / "venv"
    return AWS_SCRIPT.format(python=create_venv(folder, AWS_CLI))


class Account:
    """The deployed stages, with methods for the steps of a page that are not commands."""

    def __init__(self, aws, twilio, secrets, folder, environ):
        self.aws, self.twilio, self.secrets = aws, twilio, secrets
        self.folder, self.environ = folder, environ

    def use_simulator(self):
        """Make both stages call the simulator, and configure only stage prod."""
        url = {"TWILIO_TASKROUTER_URL": self.twilio.url}
        with edit_config(self.folder) as config:
            for stage, variables in (("dev", url), ("prod", settings_of(self.twilio))):
                config["stages"][stage]["environment_variables"] |= variables
        ssm, name = self.aws.client("ssm"), "/taskrouter-callbacks/prod/secrets"
        ssm.put_parameter(Name=name, Value=self.secrets, Type="SecureString")

    def set_workspace(self, stage, sid):
        """Set the Workspace of a stage in config.json."""
        with edit_config(self.folder) as config:
            config["stages"][stage]["environment_variables"]["TWILIO_WORKSPACE_SID"] = sid

    def api_id(self, stage):
        """Return the ID of the API that has this stage."""
        gateway = self.aws.client("apigateway")
        for api in gateway.get_rest_apis()["items"]:
            stages = gateway.get_stages(restApiId=api["id"])["item"]
            if stage in [item["stageName"] for item in stages]:
                return api["id"]
        raise AssertionError(f"no API has the stage {stage}")

    def post_callback(self, stage, parameters):
        """Post a callback to the stage, signed for its URL on AWS."""
        host = f"{self.api_id(stage)}.execute-api.{REGION}.amazonaws.com"
        url = f"https://{host}/{stage}/assignment_callback"
        return post_signed(url, self.twilio, self.environ, parameters)

    def connect(self, stage):
        """Subscribe to the alarms of a stage, and make TaskRouter call the stage."""
        subscribe_to_alarms(self.aws, stage)
        host = f"{self.api_id(stage)}.execute-api.{REGION}.amazonaws.com"
        set_callback_urls(self.twilio, f"https://{host}/{stage}")

    def record_reservation(self):
        """Record a Reservation in stage prod, and write its callback to callback.json."""
        callback = callback_parameters(self.twilio)
        assert self.post_callback("prod", callback) == (200, {})
        (self.folder / "callback.json").write_text(json.dumps(callback))

    def count_callbacks(self):
        """Return how many callbacks the assignment route or its fallback answered with 200."""
        entries = [*self.twilio.log("assignment"), *self.twilio.log("fallback")]
        return len([entry for entry in entries if entry["status"] == 200])

    def wait_for_callback(self):
        assert eventually(lambda: self.count_callbacks() >= EXPECTED_CALLBACKS), self.aws.log()


@pytest.fixture
def account(aws, twilio, secrets, tmp_path, callbacks_to_emulator):
    folder = tmp_path / "checkout"
    folder.mkdir()
    checkout.create(folder)
    with https_proxy.serving(aws.url, REGION, tmp_path) as environ:
        yield Account(aws, twilio, secrets, folder, aws.environ | environ)


@pytest.fixture
def open_page(account, aws_script, tmp_path):
    """A function that opens a page in a new shell. All pages use the same checkout."""
    bundle = {"CURL_CA_BUNDLE": account.environ["REQUESTS_CA_BUNDLE"]}
    environ = checkout.environ(tmp_path / "bin", **account.environ, **bundle)
    (tmp_path / "bin" / "aws").write_text(aws_script)
    (tmp_path / "bin" / "aws").chmod(0o755)
    shells = []

    def open_page(name, **options):
        shells.append(Shell.start(account.folder, environ))
        programs = Programs(account.folder, environ)
        return Page(pages.ROOT / "docs" / name, shells[-1], programs, **options)

    yield open_page
    for shell in shells:
        shell.end()


def test_commands_on_the_aws_pages_succeed(account, open_page):
    examples = {}
    account.use_simulator()
    make_worker_available(account.twilio)
    deploy = open_page("deploy.md", replacements=examples)
    deploy.dialogs = {"make deploy STAGE=dev": first_deployment_dialog(account.twilio)}
    deploy.answers = {"make destroy": "y\n"}
    deploy.before = {
        "API=https://": lambda: examples.update(abcde12345=account.api_id("dev")),
        "curl -sw '\\n' -H": account.wait_for_callback,
        "infra status --stage prod": lambda: account.connect("prod"),
    }
    deploy.run()

    account.record_reservation()
    operations = open_page("operations.md", replacements={"WR...": RESERVATION})
    # `workspace plan` refuses a Workspace that two stages share, so stage prod's is removed before
    # that command, and restored for `rules check`.
    operations.before = {
        "workspace plan": lambda: account.set_workspace("prod", ""),
        "rules check --stage prod": lambda: account.set_workspace(
            "prod", account.twilio.workspace_sid
        ),
    }
    operations.answers = {"infra destroy": "y\n", "infra erase": "y\n"}
    operations.run()
