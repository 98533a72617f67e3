"""An emulated AWS and a checkout of one's own to deploy from."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest
import requests

from local import network, supervisor
from local.supervisor import ROOT
from taskrouter_simulator.testing import running

REGION = "eu-west-1"
# Requests that nobody signed, as those of TaskRouter, reach the emulator's default account only.
ACCOUNT = "000000000000"
STAGE = "dev"
# What runs functions here has, of what we use, only what Lambda has: boto3. The translator is for
# CloudFormation's SAM transform.
BARE = ("ministack", "boto3", "aws-sam-translator")
SHIPPED = ["app.py", "chalicelib", "infra", "requirements.txt"]


@dataclass
class Aws:
    """An emulated AWS."""

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

    def client(self, service):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="emulated",
        )

    def everything(self):
        """What there is in the account, by kind; a kind of which there is nothing is left out."""
        found = {
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
        return {kind: those for kind, those in found.items() if those}


def names(answer, members, name):
    return sorted(one[name] for one in answer.get(members, []))


@dataclass
class Checkout:
    """A copy of what is deployed from, which a test may change."""

    folder: Path
    aws: Aws

    def run(self, *arguments, says="", **environ):
        """Run one of the operator's commands."""
        return subprocess.run(
            [sys.executable, "-m", "infra", *arguments],
            cwd=self.folder,
            env=os.environ | self.aws.environ | environ,
            input=says,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def infra(self, *arguments, says="", **environ):
        """Run one that succeeds; return what it printed."""
        done = self.run(*arguments, says=says, **environ)
        assert done.returncode == 0, f"infra {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def set(self, **settings):
        """Change settings of the stage in config.json."""
        path = self.folder / ".chalice" / "config.json"
        config = json.loads(path.read_text())
        config["stages"][STAGE]["environment_variables"] |= settings
        path.write_text(json.dumps(config))

    def become_version(self, version):
        """Change the code."""
        package = self.folder / "chalicelib" / "__init__.py"
        text = re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', package.read_text())
        package.write_text(text)


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory):
    """A Python that has what Lambda's has, and the emulator."""
    folder = tmp_path_factory.mktemp("lambda") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    pinned = (ROOT / "requirements-dev.txt").read_text().splitlines()
    wanted = [line for line in pinned if line.split("==")[0] in BARE]
    assert len(wanted) == len(BARE)
    subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], check=True)
    return python


@pytest.fixture
def aws(bare_python, tmp_path):
    """An empty account."""
    (port,) = network.find_free_ports(1)
    url = f"http://127.0.0.1:{port}"
    launcher = Path(__file__).with_name("emulator.py")
    # Nothing of ours is on its path: a function sees its zip, as in Lambda.
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    process = supervisor.start(
        "aws", [str(bare_python), str(launcher), str(port)], environ, tmp_path
    )
    try:
        network.wait_for("The emulator", lambda: network.is_responding(f"{url}/_ministack/ready"))
        yield Aws(url, process.output)
    finally:
        process.end()


@pytest.fixture
def twilio():
    """A TaskRouter whose clock runs."""
    with running(frozen_clock=False) as simulator:
        yield simulator


@pytest.fixture
def checkout(aws, twilio, tmp_path):
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in SHIPPED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    (folder / ".chalice").mkdir()
    shutil.copy(ROOT / ".chalice" / "config.json", folder / ".chalice")
    checkout = Checkout(folder, aws)
    checkout.set(
        TWILIO_ACCOUNT_SID=twilio.account_sid,
        TWILIO_WORKSPACE_SID=twilio.workspace_sid,
        TWILIO_WORKFLOW_SID=twilio.workflow_sid,
        TWILIO_TASKROUTER_URL=twilio.url,
    )
    return checkout


@pytest.fixture
def secrets(twilio):
    return json.dumps(
        {
            "auth_tokens": [twilio.auth_token],
            "api_keys": {twilio.api_key_sid: twilio.api_key_secret},
        }
    )


@pytest.fixture
def http():
    with requests.Session() as session:
        session.trust_env = False
        yield session
