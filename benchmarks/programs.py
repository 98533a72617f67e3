"""Builds the Lambda functions to compare: this app, and minimal handlers for the same requests."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import click
from packaging.requirements import Requirement

_ROOT = Path(__file__).resolve().parent.parent
_STAGE = "dev"
_CHALICE = Path(sys.executable).with_name("chalice")

_RUNTIME = ("awslambdaric", "boto3")
"""Packages that Lambda's Python runtimes provide, together with their dependencies."""

_PUT_ITEM = """
import boto3
client = boto3.client("dynamodb")
def write(body):
    item = {"reservation_sid": {"S": "WR" + "0" * 32}, "body": {"S": body}}
    client.put_item(TableName="reservations", Item=item)
"""
_BARE_HANDLER = """
from put_item import write
def handle(event, context):
    write(event["body"])
    headers = {"Content-Type": "application/json"}
    return {"statusCode": 200, "headers": headers, "body": "{}"}
"""
_ACCEPT = """
import os
import boto3
from twilio.rest import Client
client = boto3.client("dynamodb")
twilio = Client("SK0", "secret", "AC0")
twilio.taskrouter.base_url = os.environ["TWILIO_TASKROUTER_URL"]
def write(sid, status):
    client.update_item(
        TableName="reservations",
        Key={"reservation_sid": {"S": sid}},
        UpdateExpression="SET #status = :set_status",
        ConditionExpression="attribute_exists(#status)",
        ExpressionAttributeNames={"#status": "status"},
        ExpressionAttributeValues={":set_status": {"S": status}},
        ReturnValues="ALL_NEW",
    )
def handle(event, context):
    sid = event["pathParameters"]["sid"]
    write(sid, "accepting")
    task = twilio.taskrouter.v1.workspaces("WS0").tasks("WT0")
    status = task.reservations(sid).update(reservation_status="accepted").reservation_status
    write(sid, status)
    headers = {"Content-Type": "application/json"}
    return {"statusCode": 200, "headers": headers, "body": "{}"}
"""
_POWERTOOLS = """
from aws_lambda_powertools.event_handler import APIGatewayRestResolver
from put_item import write
app = APIGatewayRestResolver()
@app.post("/assignment_callback")
def assignment_callback():
    write(app.current_event.body)
    return {}
def handle(event, context):
    return app.resolve(event, context)
"""
_FLASK = """
from apig_wsgi import make_lambda_handler
from flask import Flask, request
from put_item import write
app = Flask(__name__)
@app.post("/assignment_callback")
def assignment_callback():
    write(request.get_data(as_text=True))
    return {}
handle = make_lambda_handler(app)
"""


@dataclass(frozen=True)
class Program:
    """A Lambda function.

    Attributes:
        name: Name in reports.
        is_baseline: Whether the goals apply to the comparison with this function.
        handler: Module and function.
        folder: The unzipped package of the function.
        environ: Environment variables of the function.
    """

    name: str
    handler: str
    folder: Path
    environ: dict[str, str] = field(default_factory=dict, hash=False)
    is_baseline: bool = False


def build_runtime(folder: Path) -> Path:
    """Copy the packages that Lambda's runtime provides."""
    _copy_packages(_RUNTIME, folder)
    _compile(folder)
    return folder


def build_handlers(folder: Path) -> list[Program]:
    """Build the handlers that write an item with boto3: a bare handler and two with frameworks."""
    return [
        _build_handler(folder / "bare", "bare boto3 handler", _BARE_HANDLER, is_baseline=True),
        _build_handler(folder / "powertools", "Powertools", _POWERTOOLS, "aws-lambda-powertools"),
        _build_handler(folder / "flask", "Flask", _FLASK, "flask", "apig-wsgi"),
    ]


def build_accept_handler(folder: Path) -> Program:
    """Build a handler that accepts a Reservation with boto3 and Twilio's SDK."""
    name = "bare boto3 and Twilio handler"
    return _build_handler(folder / "accept", name, _ACCEPT, "twilio", is_baseline=True)


def build_app(folder: Path, environ: dict[str, str]) -> Program:
    """Package this app with `chalice package`, and unzip the package."""
    checkout = folder / "checkout"
    for name in ("app.py", "requirements.txt", "chalicelib", "infra", ".chalice/config.json"):
        source, target = _ROOT / name, checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    command = [str(_CHALICE), "package", "--stage", _STAGE, str(folder / "out")]
    environment = {**os.environ, "AWS_DEFAULT_REGION": "us-east-1"}
    packaged = subprocess.run(  # noqa: S603  Chalice, with trusted arguments
        command, cwd=checkout, env=environment, capture_output=True, text=True, check=False
    )
    if packaged.returncode:
        raise click.ClickException(f"The app can't be packaged. {packaged.stderr}")
    with zipfile.ZipFile(folder / "out" / "deployment.zip") as package:
        package.extractall(folder / "app")
    return Program("this app", "app.app", folder / "app", environ)


def _build_handler(
    folder: Path, name: str, source: str, *packages: str, is_baseline: bool = False
) -> Program:
    folder.mkdir(parents=True, exist_ok=True)
    _copy_packages(packages, folder)
    (folder / "put_item.py").write_text(_PUT_ITEM, encoding="utf-8")
    (folder / "handler.py").write_text(source, encoding="utf-8")
    _compile(folder)
    return Program(name, "handler.handle", folder, is_baseline=is_baseline)


def _copy_packages(names: tuple[str, ...], folder: Path) -> None:
    """Copy packages and their dependencies from this environment."""
    for name in _with_dependencies(names):
        for file in metadata.files(name) or ():
            source, target = Path(str(file.locate())), folder / file
            if ".." not in file.parts and source.exists() and source.suffix != ".pyc":
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, target)


def _compile(folder: Path) -> None:
    """Add bytecode, as in this app's package, although typical packages contain none."""
    command = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*command, str(folder)], check=True)  # noqa: S603


def _with_dependencies(names: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    pending = list(names)
    while pending:
        name = re.sub(r"[-_.]+", "-", pending.pop()).lower()
        if name not in found:
            found.add(name)
            requirements = map(Requirement, metadata.requires(name) or ())
            pending += [
                requirement.name
                for requirement in requirements
                if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            ]
    return found
