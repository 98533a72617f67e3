"""The commands in deploy.md and operations.md succeed on an emulated AWS account."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import pytest

from tests.deploy import https_proxy
from tests.deploy.conftest import REGION, install, subscribe_to_alarms
from tests.deploy.contact_center import eventually
from tests.deploy.test_deploy import callback_parameters, post_signed
from tests.docs_runner import checkout, pages
from tests.docs_runner.runner import Page
from tests.docs_runner.shell import Programs, Shell

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

AWS_CLI = "awscli==1.46.3"
RESERVATION = "WR" + "1" * 32
"""SID of the Reservation in `callback_parameters`."""


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
    return AWS_SCRIPT.format(python=install(folder, AWS_CLI))


class Account:
    """The deployed stages, and the steps of the pages that are not commands."""

    def __init__(self, aws, twilio, folder, environ):
        self.aws, self.twilio, self.folder, self.environ = aws, twilio, folder, environ
        self.callbacks = []

    def set_sids(self):
        """Configure the Twilio SIDs of both stages."""
        path = self.folder / ".chalice" / "config.json"
        config = json.loads(path.read_text())
        for stage in ("dev", "prod"):
            config["stages"][stage]["environment_variables"] |= {
                "TWILIO_ACCOUNT_SID": self.twilio.account_sid,
                "TWILIO_WORKSPACE_SID": self.twilio.workspace_sid,
                "TWILIO_WORKFLOW_SID": self.twilio.workflow_sid,
                "TWILIO_TASKROUTER_URL": self.twilio.url,
            }
        path.write_text(json.dumps(config))

    def copy_secrets(self):
        """Copy the secrets of stage dev to stage prod."""
        ssm, name = self.aws.client("ssm"), "/taskrouter-callbacks/{}/secrets"
        secrets = ssm.get_parameter(Name=name.format("dev"), WithDecryption=True)
        value = secrets["Parameter"]["Value"]
        ssm.put_parameter(Name=name.format("prod"), Value=value, Type="SecureString")

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
        response = post_signed(url, self.twilio, self.environ, parameters)
        self.callbacks.append(response)
        return response

    def subscribe_to_alarms(self, stage):
        subscribe_to_alarms(self.aws, stage)

    def record_reservation(self):
        """Record a Reservation in stage prod, and write its callback to callback.json."""
        callback = callback_parameters(self.twilio)
        assert self.post_callback("prod", callback) == (200, {})
        (self.folder / "callback.json").write_text(json.dumps(callback))

    def make_alice_available(self, callback_url):
        workspace = self.twilio.client().taskrouter.v1.workspaces(self.twilio.workspace_sid)
        workflow = workspace.workflows(self.twilio.workflow_sid)
        workflow.update(assignment_callback_url=callback_url)
        alice = workspace.workers(self.twilio.workers["Alice"])
        alice.update(activity_sid=self.twilio.activities["Idle"])

    def wait_for_callback(self):
        assert eventually(lambda: self.callbacks) == [(200, {})], self.aws.log()


@contextmanager
def forwarding(post):
    """Serve a URL that passes each form to *post* and returns the response from *post*.

    The app accepts only callbacks that are signed for its URL on AWS. The simulator can't call this
    URL because it does not use the HTTPS proxy.
    """

    class Forward(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status, answer = post(dict(parse_qsl(body)))
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forward)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def account(aws, twilio, tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    checkout.create(folder)
    with https_proxy.serving(aws.url, REGION, tmp_path) as environ:
        yield Account(aws, twilio, folder, aws.environ | environ)


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


def test_every_command_of_the_aws_pages_succeeds(account, open_page):
    twilio, examples = account.twilio, {}
    secrets = [twilio.auth_token, "", twilio.api_key_sid, twilio.api_key_secret, "", ""]
    deploy = open_page("deploy.md", replacements=examples)
    deploy.answers = {"secrets put": "\n".join([*secrets, ""]), "make destroy": "y\n"}
    with forwarding(lambda parameters: account.post_callback("dev", parameters)) as url:
        deploy.before = {
            "secrets put": account.set_sids,
            "API=https://": lambda: examples.update(abcde12345=account.api_id("dev")),
            "/create-task": lambda: account.make_alice_available(url),
            "curl -sw '\\n' -H": account.wait_for_callback,
            "prepare --stage prod": account.copy_secrets,
            "infra status --stage prod": lambda: account.subscribe_to_alarms("prod"),
        }
        deploy.run()

    account.record_reservation()
    operations = open_page("operations.md", replacements={"WR...": RESERVATION})
    operations.answers = {"infra destroy": "y\n", "infra erase": "y\n"}
    operations.run()
