"""Fixtures for an emulated AWS account and for a checkout to deploy from."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
import requests

from local import network, supervisor
from local.supervisor import ROOT
from taskrouter_simulator.callbacks import delivery
from taskrouter_simulator.testing import running
from tests.infra.account import secrets_of, sids_of
from tests.infra.config_file import edit_config
from tests.routes.conftest import api, environ  # noqa: F401  # fixtures

REGION = "eu-west-1"
# Requests without AWS credentials, such as callbacks, can use only the emulator's default account.
ACCOUNT = "000000000000"
STAGE = "dev"
# Functions need boto3, which Lambda's Python runtime provides. ministack needs aws-sam-translator
# for CloudFormation's SAM transform.
EMULATOR_PACKAGES = ("ministack", "boto3", "aws-sam-translator")
DEPLOYABLE = ["app.py", "chalicelib", "infra", "requirements.txt"]


@dataclass
class Aws:
    """An emulated AWS account."""

    url: str
    log: object

    @property
    def environ(self):
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": ACCOUNT,
            "AWS_SECRET_ACCESS_KEY": "emulated",
        }

    def client(self, service, region=REGION):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=region,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="emulated",
        )

    def list_resources(self):
        """Return the names or ARNs of the account's resources by type, omitting empty types."""
        resources = {
            "functions": names(self.client("lambda").list_functions(), "Functions", "FunctionName"),
            "apis": names(self.client("apigateway").get_rest_apis(), "items", "name"),
            "roles": names(self.client("iam").list_roles(), "Roles", "RoleName"),
            "rules": names(self.client("events").list_rules(), "Rules", "Name"),
            "tables": self.client("dynamodb").list_tables()["TableNames"],
            "buckets": names(self.client("s3").list_buckets(), "Buckets", "Name"),
            "topics": names(self.client("sns").list_topics(), "Topics", "TopicArn"),
            "log groups": names(
                self.client("logs").describe_log_groups(), "logGroups", "logGroupName"
            ),
            "alarms": names(
                self.client("cloudwatch").describe_alarms(), "MetricAlarms", "AlarmName"
            ),
            "dashboards": names(
                self.client("cloudwatch").list_dashboards(), "DashboardEntries", "DashboardName"
            ),
            "stacks": names(self.client("cloudformation").describe_stacks(), "Stacks", "StackName"),
            "parameters": names(self.client("ssm").describe_parameters(), "Parameters", "Name"),
        }
        return {kind: listed for kind, listed in resources.items() if listed}


def names(response, list_key, name_key):
    return sorted(item[name_key] for item in response.get(list_key, []))


@dataclass
class Checkout:
    """A copy of the deployable files, which a test may change."""

    folder: Path
    aws: Aws

    def run(self, *arguments, stdin="", **variables):
        """Run an operator command."""
        return subprocess.run(
            [sys.executable, "-m", "infra", *arguments],
            cwd=self.folder,
            env=os.environ | self.aws.environ | variables,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def infra(self, *arguments, stdin="", **variables):
        """Run an operator command, check that it succeeds, and return its output."""
        completed = self.run(*arguments, stdin=stdin, **variables)
        output = f"{completed.stdout}\n{completed.stderr}"
        assert completed.returncode == 0, f"infra {' '.join(arguments)}\n{output}"
        return completed.stdout

    def chalice(self, *arguments, **variables):
        """Run a Chalice command."""
        return subprocess.run(
            [Path(sys.executable).with_name("chalice"), *arguments],
            cwd=self.folder,
            env=os.environ | self.aws.environ | variables,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def set(self, **settings):
        """Set environment variables for the stage in config.json."""
        with edit_config(self.folder) as config:
            config["stages"][STAGE]["environment_variables"] |= settings

    def change_version(self, version):
        """Change `chalicelib.__version__`."""
        package = self.folder / "chalicelib" / "__init__.py"
        text = re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', package.read_text())
        package.write_text(text)


@pytest.fixture(scope="session")
def emulator_python(tmp_path_factory):
    """A Python environment with the emulator and the packages that Lambda provides."""
    pinned = (ROOT / "requirements-dev.txt").read_text().splitlines()
    requirements = [line.split()[0] for line in pinned if line.split("==")[0] in EMULATOR_PACKAGES]
    assert len(requirements) == len(EMULATOR_PACKAGES)
    return create_venv(tmp_path_factory.mktemp("lambda") / "venv", *requirements)


def create_venv(folder, *requirements):
    """Create a virtual environment with *requirements*; return the path of its Python."""
    python = folder / "bin" / "python"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    command = ["install", "--quiet", *requirements]
    if subprocess.run([*uv, "pip", *command, "--python", python], check=False).returncode:
        # pip may be configured with an index that uv does not use.
        pip = [Path(sys.base_prefix) / "bin" / "python3", "-m", "pip", "--python", python]
        subprocess.run([*pip, *command], check=True)
    return python


@pytest.fixture
def account_concurrency():
    """The account's limit on concurrent executions. Lambda's default is 1,000."""
    return 1_000


@pytest.fixture
def aws(emulator_python, tmp_path, account_concurrency):
    """An empty emulated AWS account."""
    (port,) = network.find_free_ports(1)
    url = f"http://127.0.0.1:{port}"
    launcher = Path(__file__).with_name("emulator.py")
    # The emulator's import path does not contain the project, so functions import the app only from
    # their zip files, as on Lambda.
    emulator_environ = {
        name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ
    }
    emulator_environ["LAMBDA_ACCOUNT_CONCURRENCY"] = str(account_concurrency)
    # The emulator never removes the unpacked code of the functions that it runs.
    with tempfile.TemporaryDirectory() as emulator_environ["TMPDIR"]:
        process = supervisor.start(
            "aws", [str(emulator_python), str(launcher), str(port)], emulator_environ, tmp_path
        )
        try:
            network.wait_for(
                "The emulator", lambda: network.is_responding(f"{url}/_ministack/ready")
            )
            yield Aws(url, process.output)
        finally:
            process.end()


@pytest.fixture
def twilio():
    """A TaskRouter simulator with a running clock."""
    with running(frozen_clock=False) as simulator:
        yield simulator


@pytest.fixture
def callbacks_to_emulator(aws, monkeypatch):
    """Allow the simulator to reach deployed APIs at their AWS URLs."""
    request = delivery._request
    invoke_url = re.compile(rf"https://((\w+)\.execute-api\.{REGION}\.amazonaws\.com)/(\w+)/(.*)")

    async def request_emulator(callback, url, headers, overrides):
        if match := invoke_url.fullmatch(url):
            host, api_id, stage, path = match.groups()
            url = f"{aws.url}/restapis/{api_id}/{stage}/_user_request_/{path}"
            headers = {**headers, "Host": host}
        return await request(callback, url, headers, overrides)

    monkeypatch.setattr(delivery, "_request", request_emulator)


@pytest.fixture
def new_checkout(aws, twilio, tmp_path):
    """A checkout in which only the URL of the simulator is configured."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in DEPLOYABLE:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    (folder / ".chalice").mkdir()
    shutil.copy(ROOT / ".chalice" / "config.json", folder / ".chalice")
    checkout = Checkout(folder, aws)
    checkout.set(TWILIO_TASKROUTER_URL=twilio.url)
    return checkout


@pytest.fixture
def checkout(new_checkout, twilio):
    new_checkout.set(**settings_of(twilio))
    return new_checkout


def settings_of(twilio):
    return sids_of(twilio) | {"TWILIO_TASKROUTER_URL": twilio.url}


@pytest.fixture
def secrets(twilio):
    return json.dumps(secrets_of(twilio))


def subscribe_to_alarms(aws, stage=STAGE):
    """Subscribe a queue, which needs no confirmation, to the alarms of a stage."""
    stacks = aws.client("cloudformation").describe_stacks(StackName=f"taskrouter-callbacks-{stage}")
    outputs = {item["OutputKey"]: item["OutputValue"] for item in stacks["Stacks"][0]["Outputs"]}
    queue = f"arn:aws:sqs:{REGION}:{ACCOUNT}:alarms"
    topic = outputs["AlarmTopic"]
    aws.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=queue)


@pytest.fixture
def http():
    with requests.Session() as session:
        session.trust_env = False
        yield session
